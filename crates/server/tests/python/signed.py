"""Signed requests (protocol, section 8), with the signer the samples use (values as they are) and one that URL-encodes.

Prints the last signature that was accepted, for a replay after a restart."""
import base64
import hashlib
import hmac
import threading
import time
from urllib.parse import quote, quote_plus

import jsonrpclib
import requests
from sample import account, host, password, user

api = jsonrpclib.Server('http://' + host + '/jsonrpc2')
token, _ = api.login(user, password)
keys = api.initKeyPair(token)
assert keys['code'] == 0 and len(keys['secret_key']) == 64, keys


soon = int(time.time()) + 3600


def later():
    """An expiry of its own for each request: two that say the same have the same signature, which works once."""
    global soon
    soon += 1
    return soon


def sign(path, headers, encode=str, expiry=None, keys=keys):
    terms = {'access_key': keys['access_key'], 'expiry': str(expiry or later())}
    for name, value in headers.items():
        if name.lower().startswith('x-agile-'):
            terms[name.lower()[len('x-agile-'):]] = value
    query = '&'.join(name + '=' + encode(terms[name]) for name in sorted(terms))
    message = path + '?' + query
    digest = hmac.new(keys['secret_key'].encode(), message.encode(), hashlib.sha256).digest()
    return message + '&signature=' + base64.b64encode(digest).decode()


def post(path, headers, signature, data=b'hello'):
    return requests.post('http://' + host + path, data=data, headers=dict(headers, **{'X-Agile-Signature': signature}))


def accepted(r):
    assert (r.status_code, r.headers['x-agile-status']) == (200, '0'), (r.status_code, r.reason, r.headers)


def refused(r, why):
    assert (r.status_code, r.headers['x-agile-status']) == (403, '-10001'), (why, r.status_code, r.headers)


raw = {'X-Agile-Directory': '/', 'X-Agile-Basename': 'a file.txt', 'X-Agile-Content-Type': 'text/plain'}
for encode in (str, quote, quote_plus):
    signature = sign('/post/raw', raw, encode)
    accepted(post('/post/raw', raw, signature))
    refused(post('/post/raw', raw, signature), 'used twice')
assert requests.get('http://' + host + '/' + account + '/a%20file.txt').content == b'hello'
# The signature counts before the body and the token do: used or not, it acts as the user who made the pair.
assert api.stat(token, '/a file.txt', True)['uid'] == api.login(user, password)[1]['uid']

good = sign('/post/raw', raw)
refused(post('/post/raw', raw, good[:-4] + 'AAA='), 'an altered signature')
refused(post('/post/raw', dict(raw, **{'X-Agile-Basename': 'b'}), good), 'another value')
refused(post('/post/raw', dict(raw, **{'X-Agile-MTime': '5'}), good), 'a header that is not signed')
refused(post('/post/directory', raw, good), 'another path')
refused(post('/post/raw', {k: v for k, v in raw.items() if k != 'X-Agile-Basename'}, good), 'a header is missing')
accepted(post('/post/raw', raw, good))  # none of these used it up

refused(post('/post/raw', raw, sign('/post/raw', raw, expiry=int(time.time()) - 1)), 'expired')
refused(post('/post/raw', raw, sign('/post/raw', raw, expiry=int(time.time()) + 8 * 86400)), 'too far in the future')
accepted(post('/post/raw', raw, sign('/post/raw', raw, expiry=int(time.time()) + 6 * 86400)))
refused(post('/post/raw', raw, 'nonsense'), 'no signature')
refused(post('/post/raw', raw, sign('/post/raw', raw, keys={'access_key': '0' * 32, 'secret_key': '0' * 64})), 'unknown key')

# Fifty at once: one is accepted.
signature, results = sign('/post/raw', raw), []
threads = [threading.Thread(target=lambda: results.append(post('/post/raw', raw, signature).status_code)) for _ in range(50)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert sorted(results) == [200] + [403] * 49, results

# Every other call of the HTTP interface takes one.
directory = {'X-Agile-Directory': '/signed'}
accepted(post('/post/directory', directory, sign('/post/directory', directory), b''))
create = {'X-Agile-Directory': '/signed', 'X-Agile-Basename': 'm'}
r = post('/multipart/create', create, sign('/multipart/create', create), b'')
accepted(r)
piece = {'X-Agile-Multipart': r.headers['x-agile-multipart'], 'X-Agile-Part': '1'}
accepted(post('/multipart/piece', piece, sign('/multipart/piece', piece)))
complete = {'X-Agile-Multipart': r.headers['x-agile-multipart']}
accepted(post('/multipart/complete', complete, sign('/multipart/complete', complete), b''))
form = {'X-Agile-Directory': '/signed'}
r = requests.post('http://' + host + '/post/file', files={'uploadFile': ('f.txt', b'form')},
                  headers=dict(form, **{'X-Agile-Signature': sign('/post/file', form)}))
accepted(r)

r = requests.post('http://' + host + '/post/file?token=' + token, files={'uploadFile': ('f.txt', b'form')},
                  headers={'X-Agile-Signature': 'nonsense'})
refused(r, 'a token beside a wrong signature')

# A new pair ends the old one.
new = api.initKeyPair(token)
refused(post('/post/raw', raw, sign('/post/raw', raw)), 'an old key pair')
last = sign('/post/directory', directory, keys=new)
accepted(post('/post/directory', directory, last, b''))
print('SIGNATURE ' + last)
