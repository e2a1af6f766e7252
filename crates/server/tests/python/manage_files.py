"""The samples of the other calls in one life: make, upload, list, stat, set, copy, rename, delete, log out."""
import os
import sys
import time

import jsonrpclib
import requests
from sample import account, host, password, user

api = jsonrpclib.Server('http://' + host + '/jsonrpc2')
token, uid_gid = api.login(user, password, True)
file_to_upload = sys.argv[1]
basename = os.path.basename(file_to_upload)

headers = {'Content-Length': '0', 'Content-Type': 'text/json', 'X-Agile-Authorization': token,
           'X-Agile-Recursive': 'true', 'X-Agile-Directory': '/APAC/a/b'}
r = requests.post('http://' + host + '/post/directory', headers=headers)
assert (r.status_code, r.json()) == (200, {"message": "success", "code": 0})
headers.update({'X-Agile-Recursive': 'false', 'X-Agile-Directory': '/future-releases/hot'})
r = requests.post('http://' + host + '/post/directory', headers=headers)
assert (r.status_code, r.reason) == (400, 'parent directory does not exist')
assert r.json() == {"message": "parent directory does not exist", "code": -3}

for directory in ('/e', '/d', '/floral-items'):
    assert api.makeDir(token, directory) == 0
headers = {'X-Agile-Authorization': token, 'X-Agile-Basename': basename, 'X-Agile-Directory': '/e'}
with open(file_to_upload, 'rb') as filesrc:
    r = requests.post('http://' + host + '/post/raw', data=filesrc, headers=headers)
assert r.headers['X-Agile-Status'] == '0'

assert sorted(d['name'] for d in api.listDir(token, '/')['list']) == ['APAC', 'd', 'e', 'floral-items']
listed = api.listFile(token, '/e', 100, 0, True)['list'][0]
assert listed['name'] == basename and listed['stat']['mimetype'] == 'text/plain'
assert api.stat(token, '/', True)['checksum'] == ''
assert api.stat(token, '/missing', True) == {'uid': 0, 'code': -1, 'gid': 0, 'checksum': ''}

# Move a file, rename a directory, change the last modification time, set the content type.
assert api.rename(token, '/e/' + basename, '/d/' + basename) == 0
assert api.rename(token, '/floral-items', '/floral-accessories') == 0
assert api.rename(token, '/d', '/dd') == -7
assert api.setMTime(token, '/d/' + basename, 1450392160) == 0
assert api.setMTime(token, '/floral-accessories', 1450392160) == 0
assert api.setContentType(token, '/d/' + basename, 'image/png') == 0
stat = api.stat(token, '/d/' + basename, True)
assert (stat['mtime'], stat['mimetype'], stat['gid']) == (1450392160, 'image/png', uid_gid['gid'])

# Copy with named parameters; the copy comes when it comes.
uri = 'http://' + account + '/d/' + basename
assert api.fetchFileHTTP(token=token, path='/copies/example3.jpg', uri=uri, flags=1) == 0
for attempt in range(1000):
    if api.stat(token, '/copies/example3.jpg')['code'] == 0:
        break
    time.sleep(0.01)
assert api.stat(token, '/copies/example3.jpg', True)['checksum'] == stat['checksum']

# Wildcards are plain characters; a directory goes when it is empty.
assert api.deleteFile(token, '/d/*') == -1
assert api.deleteDir(token, '/d') == -7
assert api.deleteFile(token, '/d/' + basename) == 0
assert api.deleteFile(token, '/d/' + basename) == -1
assert api.deleteObject(token, '/copies/example3.jpg') == 0
for directory in ('/copies', '/d', '/e', '/floral-accessories', '/APAC/a/b', '/APAC/a', '/APAC'):
    assert api.deleteDir(token, directory) == 0, directory
assert api.listPath(token, '/', 2, '', True) == {'code': 0, 'cookie': None, 'dirs': [], 'files': []}

assert api.logout(token) == 0
assert api.logout(token) == -1
print('done')
