import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseForwarderConfig } from '../../../lb/config.ts';
import { type ClusterConfig, parseClusterFile } from '../../../proto/quic-lb/index.ts';
import { toHex } from '../../../proto/wire/index.ts';
import { parseBackendConfig } from '../../../server/config.ts';
import { build, KUBERNETES, type Manifest, manifestsIn, typeFaults } from './manifests.ts';

const FOLDERS = ['backend', 'forwarder', 'cluster', 'aws-nlb'] as const;
const OVERLAYS = ['cluster', 'aws-nlb'] as const;
const text = (...path: string[]) => readFileSync(join(KUBERNETES, ...path), 'utf8');
const json = (...path: string[]) => JSON.parse(text(...path)) as unknown;

function cluster(folder: string): ClusterConfig {
  const octets = (file: string) => (file.endsWith('cid') ? 16 : 32);
  const parsed = parseClusterFile(text(folder, 'cluster.json'), (place) => ({
    ok: true,
    text: ('file' in place ? place.file : place.env).length
      .toString(16)
      .repeat(64)
      .slice(0, 2 * octets('file' in place ? place.file : '')),
  }));
  if (!parsed.ok) throw new Error(parsed.faults.join('\n'));
  return parsed.value;
}

const find = (all: readonly Manifest[], kind: string, name: string): Manifest => {
  const found = all.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
};

describe('the manifests', () => {
  it('are what the API takes, key by key', () => {
    const all = FOLDERS.flatMap((folder) => manifestsIn(folder).flatMap(({ manifests }) => manifests));
    expect(all.length).toBeGreaterThanOrEqual(10);
    expect(typeFaults(all)).toEqual([]);
  }, 60_000);

  it('a slip in one is found', () => {
    const [deployment] = manifestsIn('forwarder').flatMap(({ manifests }) =>
      manifests.filter(({ kind }) => kind === 'Deployment'),
    );
    const wrong = structuredClone(deployment) as Manifest;
    wrong.spec.template.spec.containers[0].readinesProbe = {};
    wrong.spec.replicas = '2';
    const found = typeFaults([wrong]).join();
    expect(found).toContain('readinesProbe');
    expect(found).toContain("'string' is not assignable to type 'number'");
  }, 60_000);

  it('are listed in their kustomization, and it lists nothing else', () => {
    for (const folder of FOLDERS) {
      const listed = [
        ...text(folder, 'kustomization.yaml').matchAll(/^ {2}- (?:path: )?([\w-]+\.yaml)$/gm),
      ].map(([, name]) => name);
      const there = manifestsIn(folder).map(({ file }) => file.split('/').at(-1));
      expect(listed.filter((name) => !name!.endsWith('-patch.yaml')).sort()).toEqual(there.sort());
    }
  });
});

describe.each(OVERLAYS)('the files of the configuration in %s', (folder) => {
  it('are sound, and name no key that does not exist', () => {
    expect(cluster(folder).backends).toHaveLength(3);
    parseBackendConfig(json(folder, 'backend.json'), 'backend.json');
    if (folder === 'cluster') expect(parseForwarderConfig(json(folder, 'forwarder.json')).ok).toBe(true);
  });

  it('give calls the time to end that Kubernetes gives the pod', () => {
    const set = find(
      manifestsIn('backend').flatMap(({ manifests }) => manifests),
      'StatefulSet',
      'parley-backend',
    );
    const { drainSeconds } = parseBackendConfig(json(folder, 'backend.json'), 'backend.json');
    expect(set.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(drainSeconds + 10);
    expect(set.spec.replicas).toBe(cluster(folder).backends.length);
    expect(cluster(folder).backends.map(({ name }) => name)).toEqual(
      [0, 1, 2].map((i) => `${set.metadata.name}-${i}`),
    );
  });
});

describe.each(OVERLAYS)('kubectl kustomize of %s', (folder) => {
  const all = build(folder);

  it.skipIf(all === undefined)(
    'makes objects that fit together',
    () => {
      expect(typeFaults(all!)).toEqual([]);
      const set = find(all!, 'StatefulSet', 'parley-backend');
      const service = find(all!, 'Service', set.spec.serviceName);
      const { name, namespace } = service.metadata as { name: string; namespace?: string };
      for (const { tunnel } of cluster(folder).backends)
        expect(tunnel.host).toMatch(new RegExp(`\\.${name}\\.${namespace}\\.svc\\.cluster\\.local$`));
      const config = find(all!, 'ConfigMap', 'parley-config');
      const pods = all!.filter(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment');
      for (const { spec } of pods) {
        const { containers, volumes } = spec.template.spec;
        for (const { args, volumeMounts, ports } of containers) {
          const path = args
            .find((arg: string) => arg.endsWith('.json'))
            .split('/')
            .at(-1);
          expect(Object.keys(config.data)).toContain(path);
          const names = volumes.map((volume: { name: string }) => volume.name);
          for (const mount of volumeMounts) expect(names).toContain(mount.name);
          expect(new Set(ports.map((port: { name: string }) => port.name)).size).toBe(ports.length);
        }
        expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels);
      }
      for (const made of all!.filter(({ kind }) => kind === 'Service')) {
        const pod = pods.find(({ spec }) => spec.template.metadata.labels.app === made.spec.selector.app);
        const names = pod!.spec.template.spec.containers.flatMap(({ ports }: Manifest) =>
          ports.map(({ name: port }: { name: string }) => port),
        );
        for (const { targetPort } of made.spec.ports) expect(names).toContain(targetPort);
      }
      for (const file of cluster(folder).forwarders) find(all!, 'Service', file.split('.')[0]!);
    },
    60_000,
  );
});

describe('register.sh, by which a pod tells AWS its server ID', () => {
  function run(pod: string, ip: string, known: string): string[] {
    const directory = mkdtempSync(join(tmpdir(), 'parley-aws-'));
    const calls = join(directory, 'calls');
    const aws = join(directory, 'aws');
    writeFileSync(aws, `#!/bin/sh\necho "$*" >> ${calls}\ncase "$2" in describe*) echo "${known}";; esac\n`);
    chmodSync(aws, 0o755);
    try {
      execFileSync('/bin/sh', [join(KUBERNETES, 'aws-nlb/register.sh')], {
        env: { PATH: `${directory}:${process.env.PATH}`, POD_NAME: pod, POD_IP: ip, TARGET_GROUP_ARN: 'arn' },
        stdio: 'pipe',
      });
      return readFileSync(calls, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.replace(/ --target-group-arn arn/, ''));
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
  const target = (ip: string, id: string) => `--targets Id=${ip},Port=4433,QuicServerId=${id}`;

  it('uses the ID that cluster.json gives the ordinal, and takes the address out that had it', () => {
    const id = `0x${toHex(cluster('aws-nlb').backends[2]!.serverId)}`;
    expect(run('parley-backend-2', '10.0.0.9', '10.0.0.3').slice(1)).toEqual([
      `elbv2 deregister-targets ${target('10.0.0.3', id)}`,
      `elbv2 register-targets ${target('10.0.0.9', id)}`,
    ]);
  });

  it('leaves a target as it is that is right, and takes none out where there was none', () => {
    expect(run('parley-backend-0', '10.0.0.9', '10.0.0.9')).toHaveLength(1);
    expect(run('parley-backend-15', '10.0.0.9', 'None').slice(1)).toEqual([
      `elbv2 register-targets ${target('10.0.0.9', '0x0000000000000010')}`,
    ]);
  });
});
