"""The sample "Complete HTTP Example" of multipart uploads: create, pieces, complete, HEAD, stat, and the local checksum."""
import os
import sys

import jsonrpclib
import requests
from sample import host, password, user

######################################
# Log in
######################################
api = jsonrpclib.Server('http://' + host + '/jsonrpc')
token, user = api.login(user, password)

######################################
# Set Upload Variables
######################################
serverDirectory = '/multipart'
file_to_upload = sys.argv[1]
fileName = os.path.basename(file_to_upload)
chunkSize = 200000

print ('==================')
print ('Upload Information')
print ('==================')
print ('Upload file: ' + fileName)
print (' Server Dir: ' + serverDirectory)
print (' Piece Size: ' + str(chunkSize))
print ('')

######################################
# Create multipart
######################################
print ('================')
print ('Multipart Create')
print ('================')

headers = { 'X-Agile-Authorization': token, 'X-Agile-Basename': fileName, 'X-Agile-Directory': serverDirectory}
r = requests.post('http://' + host + '/multipart/create', headers=headers, verify=False)

print ('Request Result')
print ('--------------')
print (str (r.status_code ) + ' (' + r.reason + ')')

print ('')
print ('Multipart ID')
print ('------------')
mpid = r.headers['X-Agile-Multipart']
print (mpid)

######################################
# Multipart Piece
######################################
print ('')

print ('===============')
print ('Multipart Piece')
print ('===============')
pieceNum = 1
f = open(file_to_upload, 'rb')
while True:
  chunkBuff = f.read( chunkSize )
  if not chunkBuff:
    break
  else:
    headers = { 'X-Agile-Authorization': token, 'X-Agile-Multipart': mpid, 'X-Agile-Part': str( pieceNum )}
    print (' Sending piece: ' + str( pieceNum ) )
    r2 = requests.post('http://' + host + '/multipart/piece', data=chunkBuff, headers=headers, verify=False)
    print ('        Result: ' + str (r2.status_code ) + ' (' + r2.reason + ')')
    status = r2.headers['X-Agile-Status']
    print ('X-Agile-Status: ' + str( status ))
    print ('------------------------')
    if status != "0":
       break
    else:
      pieceNum = pieceNum +1
f.close()

######################################
# Multipart Complete
######################################
print ('')
print ('==================')
print ('Multipart Complete')
print ('==================')
headers = { 'X-Agile-Authorization': token, 'X-Agile-Multipart': mpid}
r3 = requests.post('http://' + host + '/multipart/complete', headers=headers, verify=False)
print ('Request Result')
print ('--------------')
print (str (r3.status_code ) + ' (' + r3.reason + ')')
print ('X-Agile-Status: ' + r3.headers['x-agile-status'])

######################################
# Sleep
######################################
from time import sleep
secs = 5
print ('')
print ('**sleeping for ' + str(secs) + ' seconds...')
sleep( secs )

######################################
# HEAD Request
######################################
print ('==================')
print ('HEAD Request')
print ('==================')
print ('HEAD request on ' + serverDirectory + '/' + fileName)
r4 = requests.head('http://' + host + serverDirectory + '/' + fileName)
print ('Request Result')
print ('--------------')
print (str (r4.status_code ) + ' (' + r4.reason + ')')
print ('')
print ('Checksum')
print ('--------')
print (r4.headers['x-agile-checksum'])
print ('')
print ('Content Length')
print ('--------------')
print (r4.headers['content-length'])

######################################
# JSON-RPC stat Request
######################################
print ('')
print ('=====================')
print ('JSON-RPC stat Request')
print ('=====================')
print ('Requesting stat on ' + serverDirectory + '/' + fileName)
results = api.stat(token, serverDirectory + '/' + fileName, True)
print ('')
print ('Request Result')
print ('--------------')
print (str (results['code'] ))
statChecksum = results['checksum']
print ('')
print ('Checksum')
print ('--------')
print (statChecksum)
print ('')
print ('File Size')
print ('---------')
print (results['size'])

########################################
# Get the SHA-256 hash of the local file
########################################
import hashlib
fh = None
try:
  fh = open(file_to_upload, 'rb')
except IOError as e:
  print("checksum_file IOError: %s: %s" % (file_to_upload, e))
  fh = None
if fh != None:
  m = hashlib.sha256()
  while True:
    buf = fh.read(4096)
    if not buf:
      break
    m.update(buf)
  fh.close()
  localFileCkSum = m.hexdigest()
  print ('')
  print ('==========')
  print ('Local file')
  print ('==========')
  print ('Checksum')
  print ('--------')
  print (localFileCkSum)

fileSize = os.path.getsize(file_to_upload)
print ('')
print ('File Size')
print ('---------')
print (fileSize)
print ('')
if statChecksum == localFileCkSum:
  print ('Local file checksum matches checksum from stat call.')
else:
  print ('Local file checksum does not match checksum returned from stat call.')

########
#Log out
########
api.logout(token)
