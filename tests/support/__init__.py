"""What tests are made of: fakes, whole runs in memory, machines, registries, repositories, servers."""
