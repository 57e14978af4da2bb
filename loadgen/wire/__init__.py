"""What master and workers say to each other, and the sockets they say it through.

`messages` is the vocabulary (pure), `keys` derives the encryption keys from the one secret,
`link` holds the socket settings and the worker's end of the connection.
"""
