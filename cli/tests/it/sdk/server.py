"""The life of a server, by the SDK's cloud layer and by its proxies."""

import openstack
from openstack import exceptions

cloud = openstack.connect()
compute = cloud.compute

# The cloud layer deletes a server that becomes active without an address, and says so.
key = cloud.create_keypair("key", public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBY5iFaGZScJ7EQtng2nd44v9hZbsjbTuJtisz3VQeGw me@here")
group = compute.create_server_group(name="apart", policy="anti-affinity", rules={"max_server_per_host": 1})
server = cloud.create_server(
    "led",
    image="cirros",
    flavor="m1.tiny",
    key_name="key",
    meta={"a": "b"},
    userdata="#cloud-config\n",
    config_drive=True,
    group="apart",
    security_groups=["default"],
    wait=True,
    timeout=60,
)
assert server.status == "ACTIVE" and server.public_v4 and server.key_name == "key", server
assert server.metadata == {"a": "b"} and server.has_config_drive in (True, "True"), server
assert [s.id for s in compute.servers(name="^l.d$")] == [server.id]
assert compute.find_server("led").id == server.id
assert compute.get_server_group(group.id).member_ids == [server.id]


def settled(status):
    return compute.wait_for_server(compute.get_server(server.id), status=status, interval=0.1, wait=60)


for act, status in [
    (compute.stop_server, "SHUTOFF"),
    (compute.start_server, "ACTIVE"),
    (compute.pause_server, "PAUSED"),
    (compute.unpause_server, "ACTIVE"),
    (compute.suspend_server, "SUSPENDED"),
    (compute.resume_server, "ACTIVE"),
]:
    act(server)
    settled(status)
compute.reboot_server(server, "HARD")
settled("ACTIVE")
compute.lock_server(server, locked_reason="in use")
assert compute.get_server(server.id).is_locked
compute.unlock_server(server)
compute.change_server_password(server, "n3w")
settled("ACTIVE")
assert "password for root changed" in compute.get_server_console_output(server)["output"]
assert len(compute.get_server_console_output(server, length=3)["output"].splitlines()) == 3
assert compute.get_server_diagnostics(server).state == "running"

compute.set_server_metadata(server, k="v")
server = compute.get_server(server.id)
compute.delete_server_metadata(server, ["a"])
assert compute.fetch_server_metadata(server).metadata == {"k": "v"}
compute.add_tag_to_server(server, "one")
assert compute.get_server(server.id).fetch_tags(compute).tags == ["one"]
compute.remove_tags_from_server(server)
assert compute.update_server(server, name="renamed", description="d").name == "renamed"

network = cloud.network.find_network("private")
interface = compute.create_server_interface(server, net_id=network.id)
assert {one.port_id for one in compute.server_interfaces(server)} >= {interface.port_id}
assert len(list(compute.server_ips(server))) == 2
compute.delete_server_interface(interface.port_id, server=server)
for _ in openstack.utils.iterate_timeout(60, "the interface stays", wait=0.1):
    if len(list(compute.server_interfaces(server))) == 1:
        break
compute.remove_security_group_from_server(server, cloud.network.find_security_group("default"))
assert not compute.fetch_server_security_groups(server).security_groups
cloud.add_auto_ip(cloud.get_server("renamed"), wait=True)
[floating] = cloud.list_floating_ips()
assert cloud.get_server("renamed").public_v4 == floating.floating_ip_address
cloud.delete_floating_ip(floating.id)

actions = [action.action for action in compute.server_actions(server)]
assert {"create", "stop", "lock", "changePassword", "attach_interface"} <= set(actions), actions
try:
    compute.rebuild_server(server, image="c1227000-0000-4000-8000-000000000001")
    raise AssertionError("rebuilt")
except exceptions.BadRequestException as refused:
    assert "does not have the action 'rebuild' yet" in str(refused), refused

assert cloud.delete_server("renamed", wait=True)
assert cloud.get_server("renamed") is None
compute.delete_server_group(group)
assert cloud.delete_keypair("key")
