-- A row in each table, as the first version wrote it.
INSERT INTO projects (id, name) VALUES ('p1', 'demo');
INSERT INTO users (id, name, password_hash) VALUES ('u1', 'demo', 'x');
INSERT INTO role_assignments (user_id, project_id, role) VALUES ('u1', 'p1', 'member');
INSERT INTO tokens (token_hash, user_id, project_id, issued_at, expires_at)
    VALUES ('hash', 'u1', 'p1', 1700000000123457, 1800000000000000);
INSERT INTO flavors (id, name, vcpus, memory_mb, disk_gb, is_public, extra_specs)
    VALUES ('42', 'm1.nano', 1, 128, 1, 0, '{"hw:cpu_policy":"shared"}');
INSERT INTO images (id, name, status, visibility, properties, created_at, updated_at)
    VALUES ('image-1', 'cirros', 'active', 'public', '{"hw_architecture":"x86_64"}', 1700000000123457, 1700000000123457);
INSERT INTO services (uuid, binary_name, host, zone, incarnation, disabled, last_seen, created_at)
    VALUES ('22222222-2222-4222-8222-222222222222', 'nova-compute', 'host-1', 'nova',
            '33333333-3333-4333-8333-333333333333', 1, 1700000000123457, 1700000000123457);
INSERT INTO compute_nodes (uuid, host, inventory, vcpus_capacity, memory_mb_capacity, disk_gb_capacity, vcpus_used,
                           memory_mb_used, disk_gb_used, allocation_count, generation, updated_at)
    VALUES ('44444444-4444-4444-8444-444444444444', 'host-1',
            '{"total":{"vcpus":8,"memory_mb":1000,"disk_gb":10},"reserved":{"vcpus":0,"memory_mb":0,"disk_gb":0},"ratios":{"cpu":4.0,"ram":1.0,"disk":1.0},"hypervisor_type":"fake","hypervisor_version":1,"hypervisor_hostname":"host-1","host_ip":"127.0.0.1","cpu_info":{},"availability_zone":"nova"}',
            32, 1000, 10, 1, 128, 1, 1, 1, 1700000000123457);
INSERT INTO allocations (instance_uuid, host, vcpus, memory_mb, disk_gb, created_at)
    VALUES ('11111111-1111-4111-8111-111111111111', 'host-1', 1, 128, 1, 1700000000123457);
INSERT INTO instances (uuid, project_id, user_id, name, hostname, flavor, metadata, request_spec, config_drive,
                       reservation_id, host, availability_zone, vm_state, task_state, power_state, task_id,
                       task_request_id, created_at, updated_at, launched_at)
    VALUES ('11111111-1111-4111-8111-111111111111', 'p1', 'u1', 'server', 'server',
            '{"id":"42","name":"m1.nano","vcpus":1,"memory_mb":128,"disk_gb":1,"ephemeral_gb":0,"swap_mb":0,"is_public":false,"description":null,"extra_specs":{}}',
            '{"k":"v ä"}', '{"excluded_hosts":["host-9"]}', 1, 'r-1', 'host-1', 'nova', 'active', 'migrating', 1,
            '55555555-5555-4555-8555-555555555555', 'req-1', 1700000000123457, 1700000000123457, 1700000000123457);
INSERT INTO instance_faults (instance_uuid, code, message, created_at)
    VALUES ('11111111-1111-4111-8111-111111111111', 500, 'it broke', 1700000000123457);
INSERT INTO instance_actions (instance_uuid, request_id, action, start_time, updated_at)
    VALUES ('11111111-1111-4111-8111-111111111111', 'req-1', 'live-migration', 1700000000123457, 1700000000123457);
INSERT INTO instance_action_events (instance_uuid, request_id, event, host, start_time, finish_time, result)
    VALUES ('11111111-1111-4111-8111-111111111111', 'req-1', 'conductor_live_migrate_instance', 'host-1',
            1700000000123457, 1700000000123457, 'Success');
INSERT INTO migrations (uuid, instance_uuid, task_id, kind, status, source, destination, block_migration, request_id,
                        abort_requested, migrate_data, created_at, updated_at)
    VALUES ('66666666-6666-4666-8666-666666666666', '11111111-1111-4111-8111-111111111111',
            '55555555-5555-4555-8555-555555555555', 'live-migration', 'running', 'host-1', 'host-2', 0, 'req-1', 1,
            '{"a":[1,"b"]}', 1700000000123457, 1700000000123457);
