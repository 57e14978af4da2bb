if __name__ != "loadgen.web":  # the same module under two names would break every type check
    raise ImportError("import loadgen.web, not web")
