/** One header line: lower-case name, value with one character per octet. */
export type Field = readonly [name: string, value: string];
