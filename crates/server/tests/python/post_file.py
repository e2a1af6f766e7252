"""The sample "Complete HTTP Example" of /post/file: upload by form, HEAD, stat, and the check that all agree."""
import sys

import jsonrpclib
import requests
from sample import account, host, password, user

api = jsonrpclib.Server('http://' + host + '/jsonrpc')
token, user = api.login(user, password)

basename = 'file1.txt'
file_to_upload = sys.argv[1]
upload_headers = {'X-Agile-Authorization': token}
payload = {'basename': basename, 'directory': '/zz'}
files = {'uploadFile': open(file_to_upload, 'r')}
r = requests.post('http://' + host + '/post/file', data=payload, headers=upload_headers, files=files, verify=False)
print(r)
print(r.headers)
r2 = requests.head('http://' + host + '/' + account + '/zz/file1.txt')
print(r2)
print(r2.headers)
results = api.stat(token, '/zz/file1.txt', True)
print(results)

# What the reference shows of these answers.
assert r.status_code == 200 and r.content == b''
assert r.headers['x-agile-status'] == '0'
assert r.headers['x-agile-path'] == '/' + account + '/zz/file1.txt'
assert r.headers['content-type'] == 'text/json;charset=utf-8'
assert r2.status_code == 200
assert r2.headers['content-type'] == 'text/plain'
assert results['code'] == 0 and results['type'] == 2 and results['mimetype'] == 'text/plain'
assert r.headers['x-agile-checksum'] == r2.headers['x-agile-checksum'] == results['checksum']
assert int(r.headers['x-agile-size']) == int(r2.headers['content-length']) == results['size']
assert api.stat(token, 'zz/file1.txt', True) == results
api.logout(token)
