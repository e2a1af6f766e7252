"""Obtain a token: by JSON-RPC at both paths, and by HTTP."""
import jsonrpclib
import requests
from sample import host, user, password

for path in ('/jsonrpc2', '/jsonrpc'):
    api = jsonrpclib.Server('http://' + host + path)
    token, uid_gid = api.login(user, password)
    assert uid_gid['uid'] > 0 and uid_gid['gid'] > 0
    print(token)
    assert api.checkToken(token)['code'] == 0
    assert api.logout(token) == 0
    assert api.checkToken(token)['code'] == -10001
    assert api.login(user, 'wrong') == [None, None]

auth_headers = {'X-Agile-Username': user, 'X-Agile-Password': password}
url = 'http://' + host + '/account/login'
r = requests.post(url, headers=auth_headers)
token = r.headers['x-agile-token']
print(token)
assert api.checkToken(token)['code'] == 0
