"""Clients of Microsoft Graph that know nothing of graphtoken, by azure-identity, MSAL
Python, and the authentication provider of Microsoft's Graph SDK.

Each client calls until the standard input ends. The program prints its process id at first, and
at the end how many calls and tokens each kind of client had.
"""

import asyncio
import json
import os
import sys
import threading

import msal
import requests
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.identity.aio import DefaultAzureCredential as AsyncDefaultAzureCredential
from kiota_abstractions.request_information import RequestInformation
from msgraph_core.authentication import AzureIdentityAuthenticationProvider

GRAPH, RESOURCE, SCOPE = os.environ["GRAPH"], "https://graph.microsoft.com", "https://graph.microsoft.com/.default"
ended = threading.Event()


def of_azure_identity(kind):
    credential = kind()
    return lambda: credential.get_token(SCOPE).token


def of_msal():
    application = msal.ManagedIdentityClient(msal.SystemAssignedManagedIdentity(), http_client=requests.Session())

    def token():
        answer = application.acquire_token_for_client(resource=RESOURCE)
        assert "access_token" in answer, answer
        return answer["access_token"]

    return token


def of_the_graph_sdk():
    loop = asyncio.new_event_loop()  # of this client's thread
    provider = AzureIdentityAuthenticationProvider(AsyncDefaultAzureCredential(), scopes=[SCOPE], allowed_hosts=[])

    def token():
        request = RequestInformation()
        request.url = GRAPH
        loop.run_until_complete(provider.authenticate_request(request))
        (header,) = request.headers.get("authorization")
        return header.removeprefix("Bearer ")

    return token


def call(make, counts, failures):
    try:
        token, session = make(), requests.Session()
        while not ended.wait(0.1):
            bearer = token()
            session.get(GRAPH, headers={"Authorization": "Bearer " + bearer}).raise_for_status()
            counts["calls"] += 1
            counts["tokens"].add(bearer)
    except Exception as failure:
        failures.append(repr(failure))


kinds = {
    "azure-identity's DefaultAzureCredential": lambda: of_azure_identity(DefaultAzureCredential),
    "azure-identity's ManagedIdentityCredential": lambda: of_azure_identity(ManagedIdentityCredential),
    "MSAL Python": of_msal,
    "msgraph-sdk-python": of_the_graph_sdk,
}
print(os.getpid(), flush=True)
report, failures, threads = {}, [], []
for name, make in kinds.items():
    for n in range(int(os.environ["EACH"])):
        counts = report[f"{name} {n}"] = {"calls": 0, "tokens": set()}
        threads.append(threading.Thread(target=call, args=(make, counts, failures)))
for thread in threads:
    thread.start()
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
for counts in report.values():
    counts["tokens"] = len(counts["tokens"])
print(json.dumps({"clients": report, "failures": failures}))
