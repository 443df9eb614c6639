"""What tests are made of: fakes, runs in memory, machines, registries, repositories."""
