"""Pages through multipart uploads and, for some states, through their pieces, as published scripts do: until a cookie is 0.

The published text of these loops is not among the project's references, so this is a script of our own that makes their
calls: the maps of states, an outer loop that trusts the first cookie before it looks at the list, an inner one a piece page.
"""
import sys

import jsonrpclib
from sample import host, password, user

api = jsonrpclib.Server('http://' + host + '/jsonrpc')
token, user = api.login(user, password)

desiredStates = [1, 2]
uploadPageSize = int(sys.argv[1])
piecePageSize = int(sys.argv[2])


def checked(results):
    if results['code'] != 0:
        raise RuntimeError('Return code: ' + str(results['code']))
    return results


def getPieces(mpid, first, nextCookie):
    """`first` and `nextCookie`: the C# and Python clients send numbers, the Java client strings."""
    results = checked(api.listMultipartPiece(token, mpid, first, piecePageSize))
    pieces = results['pieces']
    cookie = results['cookie']
    calls = 1
    while cookie != 0:
        results = checked(api.listMultipartPiece(token, mpid, nextCookie(cookie), piecePageSize))
        pieces += results['pieces']
        cookie = results['cookie']
        calls += 1
    return pieces, calls


uploadMap = checked(api.getMultipartStatusMap(token, 'upload'))['map']
pieceMap = checked(api.getMultipartStatusMap(token, 'piece'))['map']

results = api.listMultipart(token, 0, uploadPageSize)
cookie = results['cookie']
while cookie != 0:
    checked(results)
    for upload in results['multipart']:
        print('upload ' + upload['path'] + ' ' + uploadMap[str(upload['state'])])
        if upload['state'] in desiredStates:
            pieces, calls = getPieces(upload['mpid'], 0, int)
            assert (pieces, calls) == getPieces(upload['mpid'], '0', str)
            for piece in pieces:
                descr = pieceMap[str(piece['state'])]
                print('  piece {0} {1} {2} {3}'.format(piece['number'], piece['size'], descr, piece['error']))
            print('  calls ' + str(calls))
    results = api.listMultipart(token, cookie, uploadPageSize)
    cookie = results['cookie']

print('Logout results: ' + str(api.logout(token)))
