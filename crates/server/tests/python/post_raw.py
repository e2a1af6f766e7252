"""The sample "Complete HTTP Example" of /post/raw: upload, HEAD, stat, and the check that all agree."""
import hashlib
import os
import sys

import jsonrpclib
import requests
from sample import account, host, password, user

api = jsonrpclib.Server('http://' + host + '/jsonrpc')
token, user = api.login(user, password)

file_to_upload = sys.argv[1]
basename = os.path.basename(file_to_upload)
upload_headers = {'X-Agile-Authorization': token, 'X-Agile-Basename': '/' + basename, 'X-Agile-Directory': '/'}
with open(file_to_upload, 'rb') as filesrc:
    r = requests.post('http://' + host + '/post/raw', data=filesrc, headers=upload_headers)
print(r.headers)
assert r.headers['x-agile-status'] == '0'
assert r.headers['x-agile-path'] == '/' + account + '/' + basename
r2 = requests.head('http://' + host + '/' + account + '/' + basename)
print(r2)
print(r2.headers)
assert r2.status_code == 200
results = api.stat(token, '/' + basename, True)
statChecksum = results['checksum']

fh = open(file_to_upload, 'rb')
m = hashlib.sha256()
while True:
    buf = fh.read(4096)
    if not buf:
        break
    m.update(buf)
fh.close()
localFileCkSum = m.hexdigest()
print(localFileCkSum)
assert statChecksum == localFileCkSum
assert r2.headers['x-agile-checksum'] == localFileCkSum
assert r.headers['x-agile-checksum'] == localFileCkSum
assert results['code'] == 0 and results['type'] == 2
assert results['mimetype'] == r2.headers['content-type'] == 'audio/mpeg'
fileSize = os.path.getsize(file_to_upload)
assert fileSize == results['size'] == int(r2.headers['content-length']) == int(r.headers['x-agile-size'])

# The URL without the account, as the multipart sample writes it.
r4 = requests.head('http://' + host + '/' + basename)
assert r4.headers['x-agile-checksum'] == localFileCkSum
r5 = requests.get('http://' + host + '/' + account + '/' + basename)
assert hashlib.sha256(r5.content).hexdigest() == localFileCkSum
api.logout(token)
