// All tests of the page, in one process with one browser: `make page`, or `npm ci && npm test` here.

import "./tests/live.js";
import "./tests/hands.js";
import "./tests/looks.js";
import "./tests/hostile.js";
import "./tests/many.js";
import "./tests/night.js";
import "./tests/causes.js";
import "./tests/past.js";
