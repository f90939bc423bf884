import mpmath as mp, numpy as np
mp.mp.dps=60
L=mp.log(2)/2*mp.mpf('1.0000001')
# q(r) = (e^r - 1 - r)/r^2 on [-L,L], degree n minimax by Remez (relative weight e^r ~ 1)
def f(r):
    r=mp.mpf(r)
    return mp.mpf(1)/2+r/6 if abs(r)<mp.mpf('1e-25') else (mp.exp(r)-1-r)/r**2
def remez(n,it=12):
    # weight: error in exp relative = r^2 * err / e^r
    w=lambda r: r*r/mp.exp(r)
    m=n+2
    # nodes avoid 0 since the weight vanishes there
    pts=[L*mp.cos(mp.pi*(2*k+1)/(2*m)) for k in range(m)][::-1]
    for _ in range(it):
        A=mp.matrix(m,m); b=mp.matrix(m,1)
        for i,x in enumerate(pts):
            for j in range(n+1): A[i,j]=x**j
            A[i,n+1]=(-1)**i/w(x)
            b[i]=f(x)
        s=mp.lu_solve(A,b); c=[s[j] for j in range(n+1)]
        err=lambda x: (mp.polyval(c[::-1],x)-f(x))*w(x)
        xs=[-L+2*L*k/2000 for k in range(2001)]
        es=[err(x) for x in xs]
        # extrema: local maxima of |e| between sign changes
        groups=[];cur=[0]
        for k in range(1,len(xs)):
            if es[k]*es[k-1]<0: groups.append(cur);cur=[k]
            else: cur.append(k)
        groups.append(cur)
        ext=[max(g,key=lambda k:abs(es[k])) for g in groups]
        if len(ext)<m: print('few',len(ext),m);break
        while len(ext)>m:
            ext.pop(0) if abs(es[ext[0]])<abs(es[ext[-1]]) else ext.pop()
        pts=[xs[k] for k in ext]
    return c,max(abs(e) for e in es)
for n in (8,9,10):
    c,e=remez(n); print(n,mp.nstr(e,5),[float(x).hex() for x in c]); print([repr(float(x)) for x in c])
