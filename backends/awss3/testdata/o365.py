"""python-o365's own S3 backend: o365.py NOW BUCKET NAME [USERNAME ACCESS REFRESH]

Files the tokens for the user, as MSAL does after a refresh, if there are any; then prints what it finds
for every user as one JSON value. boto3 finds the store by AWS_ENDPOINT_URL. The tokens' clock says NOW.
"""
import base64
import json
import sys
import time

from O365.utils.token import AWSS3Backend

now, bucket, name, *given = sys.argv[1:]
time.time = lambda: float(now)
if given:
    username, access, refresh = given
    backend = AWSS3Backend(bucket, name)
    assert backend.check_token() and backend.load_token()
    old = backend.get_refresh_token(username=username)
    uid, utid = old["home_account_id"].split(".")
    backend.add({
        "client_id": old["client_id"], "environment": old["environment"], "grant_type": "refresh_token",
        "token_endpoint": "https://%s/common/oauth2/v2.0/token" % old["environment"], "scope": old["target"].split(),
        "response": {"access_token": access, "refresh_token": refresh, "expires_in": 3599, "token_type": "Bearer",
                     "client_info": base64.urlsafe_b64encode(json.dumps({"uid": uid, "utid": utid}).encode()).decode()},
        "skip_account_creation": True,
    })
    assert backend.save_token()

backend = AWSS3Backend(bucket, name)
assert backend.load_token()
found = {}
for account in backend.get_all_accounts():
    username = account["username"]
    tokens = backend.get_access_token(username=username), backend.get_refresh_token(username=username)
    found[username] = [token and token["secret"] for token in tokens]
json.dump(found, sys.stdout)
