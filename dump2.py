import sys; sys.path.insert(0,'/work/tmp_speed')
from ev2 import *
M._exp=lambda s,a,w: fexp(s)
bench_fn('fexp',lambda t,y: columns(field,axes,t,y),64)
