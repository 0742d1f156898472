import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { parseAllDocuments } from 'yaml';
import { ROOT } from '../../support/doc-tables.ts';

export const DEPLOY = join(ROOT, 'deploy');
export const KUBERNETES = join(DEPLOY, 'kubernetes');

/** A Kubernetes object, as far as tests look at it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is checked by its type, not here.
  readonly [key: string]: any;
}

/** The objects in a text of YAML; a key that comes twice, or any other fault, throws. */
function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { strict: true, uniqueKeys: true }).map((document) => {
    const [fault] = document.errors;
    if (fault !== undefined) throw fault;
    return document.toJS() as Manifest;
  });
}

export function manifestsIn(folder: string): { readonly file: string; readonly manifests: Manifest[] }[] {
  return readdirSync(join(KUBERNETES, folder))
    .filter(
      (name) => name.endsWith('.yaml') && name !== 'kustomization.yaml' && !name.endsWith('-patch.yaml'),
    )
    .map((name) => {
      const file = join(KUBERNETES, folder, name);
      return { file, manifests: parseManifests(readFileSync(file, 'utf8')) };
    });
}

/** What `kubectl kustomize` makes of a folder; undefined where there is no kubectl. */
export function build(folder: string): Manifest[] | undefined {
  try {
    const text = execFileSync('kubectl', ['kustomize', join(KUBERNETES, folder)], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    return parseManifests(text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const moduleOf = (apiVersion: string) =>
  apiVersion === 'v1' ? 'core/v1' : apiVersion.replace('.k8s.io', '').replace('rbac.authorization', 'rbac');

/**
 * Checks objects against the types of Kubernetes' API, by TypeScript: a key that there is not, one that is missing and one of the
 * wrong type are each a sentence.
 */
export function typeFaults(manifests: readonly Manifest[]): string[] {
  const path = join(ROOT, 'test/unit/deploy/checked-manifests.ts');
  const lines = manifests.map((manifest, i) => {
    const type = `import('kubernetes-types/${moduleOf(manifest.apiVersion)}').${manifest.kind}`;
    return `export const m${i}: ${type} = ${JSON.stringify(manifest)};`;
  });
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    lib: ['lib.es2022.d.ts'],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.fileExists = (name) => name === path || ts.sys.fileExists(name);
  host.getSourceFile = (name, ...rest) =>
    name === path
      ? ts.createSourceFile(name, lines.join('\n'), ts.ScriptTarget.ES2022)
      : getSourceFile.call(host, name, ...rest);
  const program = ts.createProgram([path], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, start = 0 }) => {
    const line = lines.join('\n').slice(0, start).split('\n').length - 1;
    const { kind, metadata } = manifests[line] ?? { kind: 'none', metadata: { name: '' } };
    return `${kind} ${metadata.name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}
