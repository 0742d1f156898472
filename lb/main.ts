#!/usr/bin/env node
import { runProgram } from '../net/program.ts';
import { runForwarder } from './command.ts';

runProgram(runForwarder);
