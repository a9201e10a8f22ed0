// Checks objects against the types of Kubernetes and of the operators.
//
//   node types.mjs NODE_MODULES OBJECTS.json WORK_FOLDER
//
// OBJECTS.json holds a list of {where, object}. Each is checked by its model's validate() (types, formats, required
// fields) and, as a literal of its TypeScript interface, by the compiler (fields that do not exist). Prints the list of
// {where, problem} as JSON.
import {execFileSync} from 'node:child_process';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';

const [nodeModules, objectsFile, workFolder] = process.argv.slice(2);
const require = createRequire(join(nodeModules, 'x.js'));

const PACKAGES = {
  'cert-manager.io': '@kubernetes-models/cert-manager/cert-manager.io',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api/gateway.networking.k8s.io',
  'keda.sh': '@kubernetes-models/keda/keda.sh',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator/monitoring.coreos.com',
  'networking.k8s.io': 'kubernetes-models/networking.k8s.io',
};
// The model is of a version before; what the chart uses of the object is the same in both.
const OLDER = {'gateway.networking.k8s.io/v1/GRPCRoute': 'v1alpha2'};

function moduleOf(object) {
  const [group, version] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : ['', object.apiVersion];
  const older = OLDER[`${object.apiVersion}/${object.kind}`];
  const folder = group === '' ? 'kubernetes-models' : PACKAGES[group] ?? `kubernetes-models/${group}`;
  return {path: `${folder}/${older ?? version}/${object.kind}`, apiVersion: older ? `${group}/${older}` : object.apiVersion};
}

const problems = [];
const source = [];
const lines = [];  // of the source, whose object each is
for (const [index, {where, object}] of JSON.parse(readFileSync(objectsFile, 'utf8')).entries()) {
  const {path, apiVersion} = moduleOf(object);
  const typed = {...object, apiVersion};
  let Model;
  try {
    Model = require(path)[object.kind];
  } catch {
    problems.push({where, problem: `no such kind: ${object.apiVersion} ${object.kind}`});
    continue;
  }
  try {
    new Model(typed).validate();
  } catch (error) {
    problems.push({where, problem: error.message});
  }
  const text = [`import type {I${object.kind} as T${index}} from '${path}';`,
    `export const o${index}: T${index} = ${JSON.stringify(typed, null, 1)};`].join('\n');
  source.push(text);
  for (const _ of text.split('\n')) lines.push(where);
}

mkdirSync(workFolder, {recursive: true});
writeFileSync(join(workFolder, 'objects.ts'), source.join('\n'));
writeFileSync(join(workFolder, 'tsconfig.json'), JSON.stringify({
  compilerOptions: {
    strict: true, noEmit: true, skipLibCheck: true, module: 'esnext', moduleResolution: 'node', target: 'es2020', types: [],
    baseUrl: nodeModules, paths: {'*': ['*']},
  },
  files: ['objects.ts'],
}));
try {
  execFileSync(process.execPath, [join(nodeModules, 'typescript', 'bin', 'tsc'), '-p', workFolder, '--pretty', 'false'],
    {encoding: 'utf8'});
} catch (error) {
  const found = [...(error.stdout ?? '').matchAll(/^.*objects\.ts\((\d+),\d+\): error (TS\d+: .*)$/gm)];
  if (found.length === 0) throw new Error(`tsc: ${error.stdout}${error.stderr}`);
  for (const [, line, message] of found) problems.push({where: lines[line - 1], problem: message});
}
console.log(JSON.stringify(problems));
