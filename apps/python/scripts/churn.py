import gc, sys, os, json, random, collections, time, re, hashlib, zlib, weakref
class Node:
    __slots__=("left","right","up","__weakref__")
def tree(d):
    n=Node(); n.up=None
    if d: 
        n.left=tree(d-1); n.right=tree(d-1); n.left.up=n; n.right.up=n
    return n
gc.disable()
t=[tree(10) for _ in range(10)]
w=weakref.ref(t[0]); t=None
print(gc.collect(), w())
gc.enable()
print(gc.get_threshold(), gc.isenabled())
random.seed(1)
print(hashlib.sha256(json.dumps([random.random() for _ in range(1000)]).encode()).hexdigest())
print(sorted(os.listdir("/"))[:0], os.getcwd()!="", sys.version_info[:2])
import threading, tempfile, subprocess, socket
