"""What who runs a cloud does with it: projects and users, flavors, hosts, quotas, and servers on their way."""

import openstack
from openstack import exceptions

cloud = openstack.connect()
compute, identity = cloud.compute, cloud.identity

project = identity.create_project(name="build", domain_id="default", description="d")
user = identity.create_user(name="bob", password="pw", default_project_id=project.id, domain_id="default")
identity.assign_project_role_to_user(project, user, identity.find_role("member"))
assigned = list(identity.role_assignments(user_id=user.id))
assert [one.scope["project"]["id"] for one in assigned] == [project.id], assigned
bob = openstack.connect(
    cloud=None,
    load_yaml_config=False,
    load_envvars=False,
    auth=dict(
        auth_url=cloud.auth["auth_url"],
        username="bob",
        password="pw",
        project_id=project.id,
        user_domain_id="default",
    ),
    region_name="RegionOne",
)
credential = bob.identity.create_application_credential(bob.current_user_id, "robot", roles=[{"name": "reader"}])
assert credential.secret
bob.identity.delete_application_credential(bob.current_user_id, credential)

flavor = compute.create_flavor(name="own", ram=64, vcpus=1, disk=1, is_public=False, description="d")
compute.create_flavor_extra_specs(flavor, {"hw:cpu_policy": "shared"})
assert not bob.compute.find_flavor("own")
compute.flavor_add_tenant_access(flavor, project.id)
assert bob.compute.find_flavor("own").id == flavor.id
assert compute.fetch_flavor_extra_specs(flavor).extra_specs == {"hw:cpu_policy": "shared"}

aggregate = compute.create_aggregate(name="fast", availability_zone="west")
compute.add_host_to_aggregate(aggregate, "host-2")
compute.set_aggregate_metadata(aggregate, {"ssd": "true"})
assert compute.get_aggregate(aggregate.id).metadata == {"availability_zone": "west", "ssd": "true"}
assert {zone.name for zone in compute.availability_zones(details=True)} == {"internal", "nova", "west"}

services = {service.host: service for service in compute.services(binary="nova-compute")}
assert set(services) == {"host-1", "host-2", "host-3"}
disabled = compute.disable_service(services["host-1"], "host-1", "nova-compute", disabled_reason="a new disk")
assert disabled.status == "disabled" and disabled.disabled_reason == "a new disk", disabled
assert {host.name: host.status for host in compute.hypervisors(details=True)}["host-1"] == "disabled"

# With host-1 out of service and west named, there is one host.
image = cloud.image.find_image("cirros")
server = compute.create_server(
    name="s", image_id=image.id, flavor_id=flavor.id, networks="none", availability_zone="west"
)
server = compute.wait_for_server(server, interval=0.1, wait=60)
assert server.compute_host == "host-2" and server.availability_zone == "west", server
compute.enable_service(services["host-1"], "host-1", "nova-compute")

free = compute.create_server(name="t", image_id=image.id, flavor_id=flavor.id, networks="none")
free = compute.wait_for_server(free, interval=0.1, wait=60)
target = next(host for host in services if host not in (free.compute_host, "host-2"))
compute.live_migrate_server(free, host=target)
for _ in openstack.utils.iterate_timeout(60, "the migration does not end", wait=0.1):
    migrations = list(compute.migrations(instance_uuid=free.id))
    if [one.status for one in migrations] == ["completed"]:
        break
assert compute.get_server(free.id).compute_host == target
assert list(compute.server_migrations(free)) == []

default = compute.get_quota_set_defaults(project.id).instances
compute.update_quota_set(project.id, instances=0)
assert compute.get_quota_set(project.id).instances == 0
try:
    bob.compute.create_server(name="u", image_id=image.id, flavor_id=flavor.id, networks="none")
    raise AssertionError("more than the quota")
except exceptions.ForbiddenException as refused:
    assert "Quota exceeded for instances" in str(refused), refused
compute.revert_quota_set(project.id)
assert compute.get_quota_set(project.id).instances == default
assert compute.get_limits(reserved=False).absolute.total_instances_used == 2
usage = compute.get_usage(cloud.current_project_id)
assert {one["name"] for one in usage.server_usages} == {"s", "t"}, usage

assert [one.name for one in compute.servers(all_projects=True, compute_host=target)] == ["t"]
compute.reset_server_state(free, "error")
assert compute.get_server(free.id).status == "ERROR"
for one in (server, free):
    compute.delete_server(one, force=True)
    compute.wait_for_delete(one, interval=0.1, wait=60)
compute.remove_host_from_aggregate(aggregate, "host-2")
compute.delete_aggregate(aggregate)
compute.delete_flavor(flavor)
identity.delete_user(user)
identity.delete_project(project)
assert not identity.find_user("bob")
