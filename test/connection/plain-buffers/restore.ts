import { restore } from './hide.js';

restore();
