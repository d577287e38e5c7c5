"""What stands where Neutron would: it knows no port, and says so at once.

Nova asks Networking for the ports of a server whenever it shows, builds or deletes one, also if it has no network.
"""

import json

EMPTY = {"ports", "security-groups", "networks", "subnets", "floatingips", "extensions", "quotas"}


def application(environment, start_response):
    path = environment["PATH_INFO"].strip("/").split("/")
    if path == [""]:
        body = {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": "v2.0"}]}]}
    elif environment["REQUEST_METHOD"] == "GET" and path[0] == "v2.0" and path[-1] in EMPTY:
        body = {path[-1].replace("-", "_"): []}
    else:
        start_response("404 Not Found", [("Content-Type", "application/json")])
        return [b'{"NeutronError": {"type": "NotFound", "message": "not here", "detail": ""}}']
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
