export { ToolRunner } from './runner.ts';
export { definitionOf, type JsonSchema, type ServerTool, type ToolContext, tool } from './tool.ts';
export { ToolVisibility } from './visibility.ts';
