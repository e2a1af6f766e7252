"""The sample of listPath: totals of a directory, page by page, and the directory's times."""
import base64
import struct
import time

import jsonrpclib
from sample import host, password, user


class StatError(RuntimeError):
    def __init__(self, arg):
        self.args = arg


class ListPathError(RuntimeError):
    def __init__(self, arg):
        self.args = arg


# User-Defined Variables
dirName = '/'
pageSize = 3

# Variables maintained by the application.
cookie = ''
numFiles = 0
numDirs = 0
totalBytes = 0

api = jsonrpclib.Server('http://' + host + '/jsonrpc')
token, user = api.login(user, password)
try:
    while cookie is not None:
        res = api.listPath(token, dirName, pageSize, cookie, True)
        code = res['code']
        if code != 0:
            msg = 'Error issuing listPath command on directory: ' + dirName
            msg += '\n Return code: ' + str(code)
            msg += '\n See API documentation for details.'
            raise ListPathError(msg)

        numDirs += len(res['dirs'])
        numFiles += len(res['files'])
        files = res['files']
        for f in files:
            totalBytes += f['size']
        cookie = res['cookie']

    myStat = api.stat(token, dirName, True)
    code = myStat['code']
    if code != 0:
        msg = 'Error issuing stat command on directory: ' + dirName
        msg += '\nReturn code: ' + str(code) + '\nSee API documentation for details.'
        raise StatError(msg)

    creationTime = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(myStat['ctime']))
    modificationTime = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(myStat['mtime']))

    ################################
    # Display directory information.
    ################################
    hdrSep = '================================================='
    detailSep = '-------------------------------------------------'

    hdr = 'Information for Directory "' + dirName + '"'

    thisHdrSep = hdrSep
    if len( hdr ) > 49:
        while len( thisHdrSep ) < len( hdr ):
            thisHdrSep += thisHdrSep

    thisHdrSep = thisHdrSep[0: len(hdr)]

    print (thisHdrSep)
    print (hdr)
    print (thisHdrSep)
    print ('Total Directories: ' + str( numDirs ))
    print (detailSep)
    print ('Total Files: ' + str( numFiles ))
    print (detailSep)
    print ('Total Size All Files (bytes): ' + str( totalBytes ))
    print (detailSep)
    print ('Directory Creation time: ' + creationTime)
    print (detailSep)
    print ('Directory Modification time: ' + modificationTime)
    print (detailSep)

    # "If you are interested in seeing the values in a cookie"
    cookie = api.listPath(token, '/', 2, None, True)['cookie']
    (dcookie, fcookie) = struct.unpack(">QQ", base64.b64decode(cookie))
    print('Cookie:', dcookie, fcookie)

except ListPathError as e:
    print(''.join(e.args))

except StatError as e:
    print(''.join(e.args))

finally:
    print('\nLogging out...\n')
    res = api.logout(token)
    print('Logout results: ' + str(res))
