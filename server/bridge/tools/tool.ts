import * as z from 'zod';
import type { Caller } from '../../access/index.ts';

/** What a tool is told beside its arguments. */
export interface ToolContext {
  /** The model's name for this very call of the function: the same when it runs again on another backend. */
  readonly toolCallId: string;
  /** The voice call. */
  readonly callId: string;
  readonly caller: Caller;
  /** Aborts when the result is of no use any more: time is up, the response was cancelled, the voice call is over. */
  readonly signal: AbortSignal;
  /** The backend that ran it first is gone, and no result of it is known: it may have had its effect. */
  readonly again: boolean;
}

/** JSON Schema of a function's arguments. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A function that the model may call and that runs on the server. */
export interface ServerTool<Arguments = never> {
  /** Letters, digits, `_` and `-`, at most 64. */
  readonly name: string;
  /** What it does and when to call it, for the model. */
  readonly description?: string | undefined;
  /** A zod schema of an object, against which arguments are checked; or a JSON Schema, against which they are not. None: no arguments. */
  readonly parameters?: z.ZodType | JsonSchema | undefined;
  /** Gives what the model is told: a text as it is, anything else as JSON. */
  readonly execute: (args: Arguments, context: ToolContext) => unknown;
  /** How long it may take, in ms; then the model is told that it did not answer. Default 20 000. */
  readonly timeoutMs?: number | undefined;
  /** Let the page see the call and its result; it must not answer the call. Default false: neither leaves the server. */
  readonly showToPage?: boolean | undefined;
  /**
   * Whether it may run a second time when the backend that ran it is gone before its result was known. Default true. Else the model is
   * told that no one knows whether it had its effect.
   */
  readonly runAgain?: boolean | undefined;
}

/** Declares a tool, so that its function's arguments have the schema's type. */
export function tool<Schema extends z.ZodType>(
  definition: Omit<ServerTool<z.output<Schema>>, 'parameters'> & { readonly parameters: Schema },
): ServerTool;
export function tool(definition: ServerTool<Record<string, unknown>>): ServerTool;
export function tool(definition: object): ServerTool {
  return definition as ServerTool;
}

/** How the model is told of a function. */
export interface ToolDefinition {
  readonly type: 'function';
  readonly name: string;
  readonly description?: string;
  readonly parameters: JsonSchema;
}

const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const NO_ARGUMENTS: JsonSchema = Object.freeze({ type: 'object', properties: {} });

/** The tool's definition for the model. Throws a `TypeError` with a sentence when the tool is none that the API takes. */
export function definitionOf({ name, description, parameters, execute }: ServerTool): ToolDefinition {
  if (typeof name !== 'string' || !NAME.test(name))
    throw new TypeError(
      `A tool's name must be 1 to 64 letters, digits, _ or -, not "${String(name).slice(0, 80)}".`,
    );
  if (typeof execute !== 'function') throw new TypeError(`The tool ${name} has no function "execute".`);
  return {
    type: 'function',
    name,
    ...(description !== undefined && { description }),
    parameters: parametersOf(name, parameters),
  };
}

function parametersOf(name: string, parameters: z.ZodType | JsonSchema | undefined): JsonSchema {
  if (parameters === undefined) return NO_ARGUMENTS;
  if (!isZod(parameters)) return parameters;
  let schema: JsonSchema;
  try {
    schema = z.toJSONSchema(parameters, { io: 'input' }) as JsonSchema;
  } catch (error) {
    throw new TypeError(
      `The parameters of the tool ${name} cannot be written as JSON Schema: ${(error as Error).message}`,
    );
  }
  if (schema.type !== 'object') throw new TypeError(`The parameters of the tool ${name} must be an object.`);
  const { $schema: _dialect, ...rest } = schema;
  return rest;
}

/** Whether a schema is zod's, of whichever copy of zod 4. */
export function isZod(parameters: z.ZodType | JsonSchema): parameters is z.ZodType {
  return '_zod' in parameters;
}
