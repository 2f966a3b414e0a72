// Reading the page tables of a step: entries, walks, who maps what. Needs no page either.

const P = 1, RW = 2, PS = 0x80, PROTNONE = 0x100, GUARD = 0x200;
export const BITS = [["P", P], ["RW", RW], ["US", 4], ["A", 0x20], ["D", 0x40], ["PS", PS], ["NX", 0x1000]];

// The state after a step, of *track*; *held* are its tables by id, as numbers of the pool.
export function world(track, step, held, pool) {
  const tables = new Map();
  for (const [id, number] of Object.entries(held)) {
    const [level, users, owner, published, count, runs] = pool[number];
    const pfn = Number(id.slice(1).split("_")[0]);
    tables.set(pfn, { id, pfn, level, users, owner, published, count, runs,
      name: `${track.levels[level - 1]} ${pfn}` });
  }
  const pages = pool[step.pages].map((number) => {
    const [pfn, count, birth, kind, file, index, mapcount, text] = pool[number];
    return { pfn, count, birth, kind, file, index, mapcount, text };
  });
  const mms = pool[step.mms].map((number) => {
    const [who, name, root, kb, vmas] = pool[number];
    return { who, name, root: Number(root.slice(1).split("_")[0]), kb, vmas };
  });
  return { track, tables, pages, mms, folded: step.folded, tlbs: pool[step.tlbs], cpus: pool[step.cpus] };
}

// Entry *index* of a table, or null if it is empty.
export function entry(table, index) {
  for (const [first, many, pfn, bits] of table.runs) {
    if (first <= index && index < first + many) return { pfn: pfn + index - first, bits };
  }
  return null;
}

export function isLink(level, found) {
  return level > 1 && Boolean(found) && (found.bits & P) !== 0 && !(found.bits & PS);
}

// Two letters, as the picture has them: what an entry allows.
export function letters(found) {
  if (!found) return "";
  if (found.bits & P) return found.bits & RW ? "rw" : "r-";
  return found.bits & PROTNONE ? "--" : found.bits & GUARD ? "gd" : "";
}

export function pageAt(now, pfn) {
  const page = now.pages.find((one) => one.pfn <= pfn && pfn < one.pfn + one.count);
  return page && { ...page, pfn, birth: page.birth + pfn - page.pfn,
    index: page.index < 0 ? -1 : page.index + pfn - page.pfn };
}

// What an entry means, in words.
export function meaning(now, level, found) {
  if (!found) return "empty";
  if (isLink(level, found)) return `leads to ${now.tables.get(found.pfn)?.name ?? `frame ${found.pfn}`}`;
  if (found.bits & GUARD && !(found.bits & P)) return "guard region: every access is a SIGSEGV";
  if (found.bits & PROTNONE && !(found.bits & P)) return `PROT_NONE: page ${found.pfn}, and nobody may touch it`;
  const may = found.bits & RW ? "load and store" : "load only";
  return `${pageName(pageAt(now, found.pfn), found.pfn)}: ${may}`;
}

export function pageName(page, pfn) {
  if (!page) return `frame ${pfn}`;
  if (page.kind === "zero") return "the zero page";
  const file = page.kind === "file" ? `, page ${page.index} of ${page.file}` : "";
  return `page ${pfn}${file}${page.mapcount > 1 ? `, mapped x${page.mapcount}` : ""}`;
}

export function span(track, level) {
  return track.size * 2 ** (track.bits * (level - 1));
}

export function indexOf(track, addr, level) {
  return Math.floor(addr / span(track, level)) % 2 ** track.bits;
}

// [{ table, index, found }] from the top down to the leaf or the first empty entry.
export function walk(now, name, addr) {
  const mm = now.mms.find((one) => one.name === name), path = [];
  let table = mm && addr >= 0 && addr < now.track.top ? now.tables.get(mm.root) : null;
  while (table) {
    const index = indexOf(now.track, addr, table.level), found = entry(table, index);
    path.push({ table, index, found });
    table = isLink(table.level, found) ? now.tables.get(found.pfn) : null;
  }
  return path;
}

// The elements of the picture on a walk; *has* tells which ids there are.
export function lit(now, path, has) {
  const ids = new Set();
  for (const [i, { table, index, found }] of path.entries()) {
    ids.add(has(`${table.id}.${index}`) ? `${table.id}.${index}` : `${table.id}.None`);
    const page = found && i === path.length - 1 ? pageAt(now, found.pfn) : null;
    const below = path[i + 1]?.table.id ?? (page ? `f${page.pfn}_${page.birth}` : null);
    if (below) ids.add(`${table.id}.${index}>${below}`);
  }
  return ids;
}

// Every way to a table: [{ mm, base }], the address at which it begins there.
export function ways(now, id) {
  const out = [];
  for (const mm of now.mms) {
    const todo = [[now.tables.get(mm.root), 0]];
    while (todo.length) {
      const [table, base] = todo.pop();
      if (!table) continue;
      if (table.id === id) { out.push({ mm, base }); continue; }
      for (const [first, many, pfn, bits] of table.runs) {
        for (let i = 0; i < many && isLink(table.level, { pfn, bits }); i++) {
          todo.push([now.tables.get(pfn + i), base + (first + i) * span(now.track, table.level)]);
        }
      }
    }
  }
  return out;
}

// The frames that leaf entries of each mm map, as [mm name, first, how many entries, is it huge?].
export function mappedBy(now) {
  const out = [], seen = new Set();
  for (const mm of now.mms) {
    const todo = [now.tables.get(mm.root)];
    seen.clear();
    while (todo.length) {
      const table = todo.pop();
      if (!table || seen.has(table)) continue;
      seen.add(table);
      for (const [, many, pfn, bits] of table.runs) {
        if (isLink(table.level, { pfn, bits })) for (let i = 0; i < many; i++) todo.push(now.tables.get(pfn + i));
        else if (bits & (P | PROTNONE)) out.push([mm.name, pfn, many, (bits & PS) !== 0 && table.level > 1]);
      }
    }
  }
  return out;
}

// Everything in memory by frame. *size* is 1, or the frames of a huge page; *mm* has its colour.
export function frames(now) {
  const mapped = mappedBy(now);
  const rows = [...now.tables.values()].map((t) => ({ pfn: t.pfn, count: t.count, size: 1, id: t.id,
    what: now.track.levels[t.level - 1], owner: t.owner, mm: t.published ? null : t.owner, many: t.users }));
  for (const page of now.pages) {
    const by = mapped.find(([, first, many]) => first < page.pfn + page.count && page.pfn < first + many);
    const owner = { anon: by?.[0] ?? "nobody", file: page.file }[page.kind] ?? "kernel";
    rows.push({ pfn: page.pfn, count: page.count, size: by?.[3] ? 2 ** now.track.bits : 1, what: page.kind,
      owner, mm: page.kind === "anon" ? by?.[0] : null, many: page.mapcount });
  }
  return rows.sort((a, b) => a.pfn - b.pfn);
}
