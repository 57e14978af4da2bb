if __name__ != "loadgen.worker":  # the same module under two names would break every type check
    raise ImportError("import loadgen.worker, not worker")
