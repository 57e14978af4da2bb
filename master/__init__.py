if __name__ != "loadgen.master":  # the same module under two names would break every type check
    raise ImportError("import loadgen.master, not master")
