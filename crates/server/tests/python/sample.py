"""What the samples leave open: {Account name}, user, password, host."""
import os

host = os.environ['HEADWATER_HOST']
account = os.environ['HEADWATER_ACCOUNT']
user = os.environ['HEADWATER_USER']
password = os.environ['HEADWATER_SAMPLE_PASSWORD']
