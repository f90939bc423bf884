"""Checks certificates in ball arithmetic, with python-flint alone: python attnflow/checker FILE.

It is a program for those who believe nothing, and imports not a line of the rest of attnflow. Nothing that
it prints is taken from a file but numbers: it reads the file within bounds, shows by its own means what the
numbers are said to prove, and writes the sentences itself. `PROOFS.md` in this folder says what is proved, by
which theorems, and who is trusted for what, file by file.

- `equilibria`: an equilibrium or a start on a null set, its stability, and the claim that it refutes
- `cover`: proofs over all states that almost every start synchronises
- `census`: counts of all equilibria
- `file`: what all files are held to; `balls`: numbers; `program`: the command
"""
