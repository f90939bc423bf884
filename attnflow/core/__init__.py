"""What every room stands on: arrays, checks of arguments, the machine. Its modules are for the other rooms."""
