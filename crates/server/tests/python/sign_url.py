"""The signer of docs/signed-urls.md; prints two links."""
import sys

import hashlib
import time
from urllib.parse import quote


def sign(secret, path, lasts=3600, more='', base='https://cdn.example.com'):
    url = base + quote(path)                       # the URL as published, percent-encoded
    terms = 'e=%d%s&va=2' % (time.time() + lasts, more)
    text = secret + url + '?' + terms              # with md5 instead of sha256: leave out va=2
    return url + '?' + terms + '&h=' + hashlib.sha256(text.encode()).hexdigest()


secret = open(sys.argv[1]).read()
print(sign(secret, '/acme/dir/file'))
print(sign(secret, '/acme/zoo/hidden', 60, '&dl=1&ip=127.0.0.1&rs=500'))
