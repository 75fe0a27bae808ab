"""Keeps a token with python-o365's BitwardenSecretsManagerBackend.

    peer.py load|save|save-as-it-is API-URL IDENTITY-URL SECRET-ID

The access token is in ACCESS_TOKEN. load prints the cache; the others read one from
standard input and save it over what they loaded.
"""

import functools
import json
import os
import sys

import bitwarden_sdk
from O365.utils.token import BitwardenSecretsManagerBackend

command, api, identity, secret = sys.argv[1:]

# The backend has no setting for another server than Bitwarden's cloud.
settings = bitwarden_sdk.client_settings_from_dict(
    {"apiUrl": api, "identityUrl": identity, "deviceType": "SDK", "userAgent": "Python"}
)
bitwarden_sdk.BitwardenClient = functools.partial(bitwarden_sdk.BitwardenClient, settings)

backend = BitwardenSecretsManagerBackend(os.environ["ACCESS_TOKEN"], secret)
if not backend.load_token():
    sys.exit("load_token found no token")
if command == "load":
    json.dump(backend._cache, sys.stdout)
    sys.exit()

secrets = backend.client.secrets()
new_order = secrets.update


def update(id, key, note, organization_id, value, project_ids):
    """The order of arguments in bitwarden-sdk 0.1, which python-o365 2.1.10 is
    written for; since 1.0 it is another one, and save_token fails."""
    return new_order(organization_id, id, key, value, note, project_ids)


if command == "save":
    secrets.update = update
    backend.client.secrets = lambda: secrets
backend._cache = json.load(sys.stdin)
backend.save_token(force=True)
