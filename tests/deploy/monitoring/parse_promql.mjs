// Parses PromQL: reads a JSON list of expressions on standard input, writes a list of
// {errors: [where the grammar was left], metrics: [names]}, in their order.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(process.argv[2], 'package.json'));
const { parser } = require('@prometheus-io/lezer-promql');

function parse(expr) {
  const errors = [];
  const metrics = new Set();
  parser.parse(expr).iterate({
    enter(node) {
      if (node.type.isError) {
        errors.push(`at ${node.from}: ${expr.slice(0, node.from)}<HERE>${expr.slice(node.from)}`);
      }
      if (node.name === 'VectorSelector') {
        const name = node.node.getChild('Identifier');
        metrics.add(name ? expr.slice(name.from, name.to) : '');
      }
    },
  });
  return { errors, metrics: [...metrics] };
}

const expressions = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(expressions.map(parse)));
