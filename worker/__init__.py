"""A worker: one process that runs its share of the users and reports what they measured.

`agent` is the protocol side and `outbox` the deltas in flight (both pure); `swarm` runs the users,
`health` watches this process, `process` ties them to a socket and the gevent hub.
"""

if __name__ != "loadgen.worker":  # the same module under two names would break every type check
    raise ImportError("import loadgen.worker, not worker")
