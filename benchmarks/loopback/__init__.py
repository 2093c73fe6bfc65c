"""What the benchmarks over HTTP share: a client, an echo, a sink and the engine as processes."""
