"""The sample of listFile: loop through all files in a directory in chunks of three and print the file names."""
import jsonrpclib
from sample import host, password, user

api = jsonrpclib.Server('http://' + host + '/jsonrpc')
token, uid_gid = api.login(user, password)

# User-defined variables
dir = '/'
pageSize = 3


def printFiles(fileList):
    global hasFiles
    for (item) in fileList:
        hasFiles = True
        print(item['name'])


hasFiles = False
results = api.listFile(token, dir, pageSize, False)

print('Files in directory "' + dir + '":')
printFiles(results['list'])
cookie = results['cookie']

while (cookie > 0):
    results = api.listFile(token, dir, pageSize, cookie, False)
    printFiles(results['list'])
    cookie = results['cookie']

if not hasFiles:
    print('**No files in directory**')
