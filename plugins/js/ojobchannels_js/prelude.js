// Prepares the engine for a block of JavaScript: defines the names of oJob, and reports the outcome.
(function () {
  "use strict";
  const global = globalThis;
  const callOut = global.__call;
  delete global.__call;

  // An exception in the job is thrown here as an Error of the same name.
  function call(name, ...args) {
    const reply = JSON.parse(callOut(name, JSON.stringify(args)));
    if (reply.err === undefined) return reply.ok;
    const error = new Error(reply.err.message);
    Object.defineProperty(error, "name", { value: reply.err.name, configurable: true });
    Object.defineProperty(error, "__raised", { value: reply.err.raised ?? null });
    throw error;
  }

  function define(names) {
    for (const name of Object.keys(names)) {
      const it = { value: names[name], writable: true, configurable: true, enumerable: false };
      Object.defineProperty(global, name, it);
    }
  }

  // The reason why the job failed; its message is what was thrown, and its text says where too.
  function asError(reason) {
    if (reason === null) return undefined;
    const error = new Error(reason.message);
    Object.defineProperty(error, "name", { value: reason.name, configurable: true });
    Object.defineProperty(error, "toString", { value: () => reason.text, configurable: true });
    return error;
  }

  // In JSON an Error is its message, rather than an empty map.
  Object.defineProperty(Error.prototype, "toJSON", {
    value() { return String(this); }, writable: true, configurable: true
  });

  function text(value) {
    const isPlain = value !== null && typeof value === "object" && !(value instanceof Error);
    return isPlain && !(value instanceof Date) ? JSON.stringify(value) : String(value);
  }

  const words = (values) => values.map(text).join(" ");
  const isDef = (value) => value !== undefined;
  const isUnDef = (value) => value === undefined;

  const subscribers = new Map();

  // Calls the subscribers with the changes that have come within some milliseconds.
  function deliver(milliseconds) {
    if (!subscribers.size) { call("sleep", milliseconds); return; }
    for (let left = milliseconds; left > 0; left -= 100) {
      for (const [number, op, key, value] of call("changes", Math.min(left, 100))) {
        for (const { number: own, channel, act } of [...subscribers.values()]) {
          if (own === number) act(channel._name, op, key, value ?? undefined, channel);
        }
      }
    }
  }

  class Channel {
    constructor(name) { this._name = name; }
    _do(operation, ...args) { return call("channel", this._name, operation, args); }
    // As in OpenAF, a first argument that is a number or a boolean says whether to compress.
    create(...how) {
      const [type, options] = /^(number|boolean)$/.test(typeof how[0]) ? how.slice(1) : how;
      call("open", this._name, type ?? "simple", options ?? {});
      return this;
    }
    destroy() { call("destroy", this._name); }
    list() { return call("channels"); }
    // Present entries are reported first, unless `onlyFromNow`; later changes while the block sleeps,
    // and at its end.
    subscribe(act, onlyFromNow, id) {
      const number = call("subscribe", this._name);
      const key = id ?? `${this._name} ${number}`;
      if (subscribers.has(key)) return key;
      subscribers.set(key, { number, channel: this, act });
      if (!onlyFromNow) this.forEach((k, v) => act(this._name, "set", k, v, this));
      return key;
    }
    unsubscribe(id) { subscribers.delete(id); }
    get(key) { return this._do("get", key); }
    getAll(match) { return this._do("getAll", ...(isDef(match) ? [match] : [])); }
    getKeys() { return this._do("getKeys"); }
    getSet(match, key, value) { return this._do("getSet", match, key, value); }
    set(key, value) { this._do("set", key, value); return key; }
    setAll(fields, values) {
      this._do("setAll", values.map((value) => [pick(fields, value), value]));
    }
    unset(key) { this._do("unset", key); return key; }
    unsetAll(fields, values) { this._do("unsetAll", values.map((value) => pick(fields, value))); }
    push(key, value) { return this.set(key, value); }
    pop() { return this._do("pop"); }
    shift() { return this._do("shift"); }
    size() { return this._do("size"); }
    forEach(act) { this.getKeys().forEach((key) => act(key, this.get(key))); }
  }

  function pick(fields, value) {
    return Object.fromEntries(fields.map((field) => [field, value[field]]));
  }

  // Returns a function that reads the value of an item at a path such as "owner.name".
  function reader(path) {
    if (typeof path === "function") return path;
    const steps = String(path).split(".");
    return (item) => steps.reduce((value, step) => value?.[step], item);
  }

  function compare(one, other) { return one < other ? -1 : one > other ? 1 : 0; }

  // A query over a list; each operation returns a new query, and does not change the list.
  class Query {
    constructor(items) { this._items = [...items]; }
    _of(items) { return new Query(items); }
    _keep(path, test) {
      const read = reader(path);
      return this._of(this._items.filter((item) => test(read(item))));
    }
    _numbers(path) {
      const read = isDef(path) ? reader(path) : (item) => item;
      return this._items.map(read).map(Number).filter((number) => !Number.isNaN(number));
    }

    filter(path) { return this._keep(path, Boolean); }
    where(path, value) {
      return arguments.length > 1 ? this.equals(path, value) : this.filter(path);
    }
    equals(path, value) { return this._keep(path, (it) => it == value); }
    notEquals(path, value) { return this._keep(path, (it) => it != value); }
    greater(path, value) { return this._keep(path, (it) => it > value); }
    greaterEquals(path, value) { return this._keep(path, (it) => it >= value); }
    less(path, value) { return this._keep(path, (it) => it < value); }
    lessEquals(path, value) { return this._keep(path, (it) => it <= value); }
    between(path, low, high) { return this._keep(path, (it) => it > low && it < high); }
    starts(path, value) { return this._keep(path, (it) => String(it).startsWith(value)); }
    ends(path, value) { return this._keep(path, (it) => String(it).endsWith(value)); }
    contains(path, value) { return this._keep(path, (it) => isDef(it) && it.includes(value)); }
    match(path, pattern) { return this._keep(path, (it) => new RegExp(pattern).test(it)); }

    sort(...paths) {
      const orders = paths.map((path) => {
        const descending = typeof path === "string" && path.startsWith("-");
        const read = reader(descending ? path.slice(1) : path);
        return (one, other) => compare(read(one), read(other)) * (descending ? -1 : 1);
      });
      const by = (one, other) => orders.reduce((result, order) => result || order(one, other), 0);
      return this._of([...this._items].sort(orders.length ? by : compare));
    }
    reverse() { return this._of([...this._items].reverse()); }
    distinct(path) {
      const values = new Set(this._items.map(reader(path)));
      return [...values];
    }
    groupBy(path) {
      const read = reader(path);
      const groups = new Map();
      for (const item of this._items) {
        const key = read(item);
        if (!groups.has(key)) groups.set(key, { key, items: [] });
        groups.get(key).items.push(item);
      }
      return this._of(groups.values());
    }
    limit(number) {
      return this._of(number < 0 ? this._items.slice(number) : this._items.slice(0, number));
    }
    head(number) { return this.limit(number ?? 1); }
    tail(number) { return this.limit(-(number ?? 1)); }
    skip(number) { return this._of(this._items.slice(number)); }

    select(change) {
      if (typeof change === "function") return this._items.map((item) => change(item));
      return isDef(change) ? this.mapping(change) : [...this._items];
    }
    mapping(fields) {
      const names = Object.keys(fields);
      return this._items.map((item) => Object.fromEntries(
        names.map((name) => [name, reader(name)(item) ?? fields[name]])
      ));
    }
    first(fallback) { return this._items.length ? this._items[0] : fallback; }
    last(fallback) { return this._items.length ? this._items.at(-1) : fallback; }
    at(index) { return this._items.at(index); }
    any() { return this._items.length > 0; }
    none() { return this._items.length === 0; }
    count() { return this._items.length; }
    min(path) { return this.sort(path).first(); }
    max(path) { return this.sort(path).last(); }
    sum(path) { return this._numbers(path).reduce((total, number) => total + number, 0); }
    // The mean of a field; or of the differences of two fields, such as ("endTime", "startTime").
    average(path, less) {
      const read = isDef(less)
        ? (item) => reader(path)(item) - reader(less)(item)
        : isDef(path) ? reader(path) : (item) => item;
      const numbers = this._of(this._items.map(read))._numbers();
      return numbers.length ? numbers.reduce((a, b) => a + b, 0) / numbers.length : undefined;
    }
  }

  class Launch {
    constructor(name, number) { this.name = name; this._number = number; }
    state() { return call("launchState", this._number); }
    done() { return call("launchDone", this._number); }
    result(milliseconds) {
      return call("launchResult", this._number, ...(isDef(milliseconds) ? [milliseconds] : []));
    }
    toJSON() { return { name: this.name, state: this.state() }; }
  }

  function launch(name, args) {
    return new Launch(name, call("launch", name, ...(isDef(args) ? [args] : [])));
  }

  let caught;

  // The job that records an error gets the one that the code has caught last, unless it is passed.
  function runJob(name, args) {
    const recorded = name === "oJobManager Error" && isDef(caught) ? { e: text(caught) } : undefined;
    const all = recorded ? { ...recorded, ...args } : args;
    return call("job", name, ...(isDef(all) ? [all] : []));
  }

  const manager = {
    jobLocks: {
      unlock(name) {
        if (typeof name === "string" && name) return call("unlock", name);
        throw new TypeError("unlock needs the name of a lock; pass it, such as jobName=my-job");
      }
    }
  };

  define({
    global,
    isDef,
    isUnDef,
    log: (...values) => call("log", "info", words(values)),
    logWarn: (...values) => call("log", "warn", words(values)),
    logErr: (...values) => call("log", "error", words(values)),
    print: (...values) => call("print", words(values)),
    sleep: deliver,
    now: () => Date.now(),
    nowUTC: () => Date.now(),
    getEnv: (name) => call("env", name),
    skip: (reason) => call("skip", reason ?? "no reason given"),
    stringify: (value, replacer, indent) => JSON.stringify(value, replacer, indent ?? 2),
    jsonParse: (text) => JSON.parse(text),
    $ch: (name) => new Channel(name),
    $from: (items) => new Query(items ?? []),
    $job: runJob,
    oJobRunJob: runJob,
    oJobManagerLaunchJob: launch,
    af: {
      toYAML: (value) => call("toYAML", value),
      fromYAML: (text) => call("fromYAML", text)
    }
  });
  Object.defineProperty(global, "__oJobManager", {
    get: () => (call("isManaged") ? manager : undefined), configurable: true
  });

  let above = 0;
  let thrownAt = null;
  let before = {};
  let outcome;

  function lineOf(thrown) {
    const stack = thrown instanceof Error ? String(thrown.stack) : "";
    const lines = [...stack.matchAll(/<input>:(\d+)/g)].map((match) => match[1] - above);
    return lines.find((line) => line > 0) ?? thrownAt;
  }

  function failed(thrown) {
    const raised = thrown instanceof Error ? thrown.__raised ?? null : null;
    return JSON.stringify({ threw: { text: text(thrown), line: lineOf(thrown), raised } });
  }

  // Only changed args are returned, so that values that JavaScript cannot represent stay as they were.
  function completed(result) {
    if (subscribers.size) deliver(50);
    const after = global.args;
    if (after === null || typeof after !== "object" || Array.isArray(after)) {
      return failed(new TypeError(`the code replaced args by ${text(after)}, which is not a map`));
    }
    const changed = {};
    for (const name of Object.keys(after)) {
      const value = JSON.stringify(after[name]);
      if (value !== undefined && value !== before[name]) changed[name] = after[name];
    }
    const removed = Object.keys(before).filter((name) => after[name] === undefined);
    return JSON.stringify({ result, changed, removed });
  }

  function outcomeOf(make, value) {
    try { return make(value); } catch (thrown) { return failed(thrown); }
  }

  define({
    __caught: (thrown) => { caught = thrown; },
    __throwing: (line) => { thrownAt = line; },
    __begin(block) {
      const { args, job, error, linesAbove } = JSON.parse(block);
      above = linesAbove;
      for (const name of Object.keys(args)) before[name] = JSON.stringify(args[name]);
      const reason = asError(error);
      define({ args, job: { name: job }, id: job, error: reason, exception: reason });
    },
    // Returns the outcome of the code, or null while a promise that it returned is pending.
    __run() {
      let result;
      try { result = global.__body.call({}); } catch (thrown) { return failed(thrown); }
      if (result === null || typeof result?.then !== "function") {
        return outcomeOf(completed, result);
      }
      result.then(
        (value) => { outcome = outcomeOf(completed, value); },
        (thrown) => { outcome = failed(thrown); }
      );
      return null;
    },
    __ended: () => outcome ?? null
  });
})();
