// Run JSONata expressions for benchmarks/others.py: one JSON request a line, one answer a line.
// An expression is compiled once and warmed; a turn answers its CPU time in microseconds a call.
import { createInterface } from "node:readline";
import jsonata from "jsonata";

const WARMING = 2000;
const ways = new Map();

const requests = {
  async compile({ name, text, roles, source }) {
    const way = jsonata(text);
    way.assign("roles", roles);
    ways.set(name, { way, source });
    const made = await way.evaluate(source);
    for (let i = 0; i < WARMING; i++) await way.evaluate(source);
    return made;
  },
  async turn({ name, rounds }) {
    const { way, source } = ways.get(name);
    const before = process.cpuUsage();
    for (let i = 0; i < rounds; i++) await way.evaluate(source);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / rounds;
  },
};

console.log(JSON.stringify(process.version));
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  console.log(JSON.stringify(await requests[request.do](request)));
}
