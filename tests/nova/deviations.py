"""Where Compute answers otherwise than Nova, on purpose: what a violation says, by its operation and its text, and why."""
import re

from rules import text_of

KNOWN = [
    (r'This cloud has no (volume service|service of shared file systems)',
     'what the cloud does not have is not there, whatever is said about it'),
    (r'^GET /os-(volumes|snapshots|security-groups)[a-z/]*: Nova refuses .* query parameters (limit|offset)',
     'the lists of what the cloud does not have are empty, from wherever and however long'),
    (r'^PUT /os-security-groups/.*Security group .* not found', 'none is there, whatever is to be changed of it'),
    (r'^GET /os-instance_usage_audit_log.*: the answer: .* is not a \'uuid\'',
     "Nova's schema calls the names of hosts UUIDs, which Nova itself does not answer with"),
    (r'^POST /os-keypairs: the answer: .* user_id\. Value: .* (does not match|should be non-empty)',
     "Nova's schema takes any user_id in the request and not in the answer"),
    (r'^GET /os-server-groups: the answer: .* Value: soft-',
     'a group of a later version is listed at an earlier one, as by Nova, whose schema does not know that'),
    (r'refused for its form: .* sort_dir\. Value: .* It must be asc or desc',
     "Nova's schema takes any text, and its database refuses it with 400"),
    (r'refused for its form: .*(max_count|min_count|max_server_per_host)\. Value: "?[0-9]{10,}',
     'no count is larger than 2147483647; Nova refuses these by its quotas'),
    (r'^GET /(servers|os-volumes_boot)(/detail)?: Nova takes .*\(\''
     r'(block_device_mapping|info_cache|metadata|pci_devices|security_groups|services|system_metadata)\'',
     "Nova's schema has these names, and its handler refuses them with 400"),
    (r'^POST /flavors: Nova takes .*rxtx_factor\. Value: "?0"?\.', 'Nova finds out when it makes the flavor, and says 400 then'),
    (r"^PUT /servers/\{server_id\}/tags/\{id\}: Nova refuses .* is not of type 'null'",
     'what comes with a tag is not looked at: all is said by the path'),
    (r'^GET /: the version is not echoed', 'the documents are the same at every version'),
    (r'addFixedIp: Nova takes .*networkId', 'the id of a network is a UUID; Nova finds out by asking Networking'),
    (r'(add|remove)SecurityGroup: Nova takes .*can not start or end with whitespace',
     'no security group has such a name; Nova finds out by asking Networking'),
]


def unexpected(violations):
    patterns = [re.compile(pattern) for pattern, _ in KNOWN]
    return [one for one in violations if not any(pattern.search(said(one[0])) for pattern in patterns)]


def said(violation):
    return f'{violation.operation}: {violation.what} | {text_of(violation.exchange.answer)}'
