"use strict";
// The table of scans: 100 rows a page, so that 10,000 scans are as quick as 100.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 100;
  const body = document.querySelector("#scans tbody");
  const search = document.getElementById("search");
  const filters = [...document.querySelectorAll("[data-filter]")];
  const heads = [...document.querySelectorAll("#scans thead th")];
  const previous = document.getElementById("previous");
  const next = document.getElementById("next");
  const collator = new Intl.Collator(data.language, { numeric: true });
  let sort = { field: "scan_id", sign: 1 };
  let page = 0;
  let found = [];
  for (const row of data.rows) row.searched = `${row.scan_id} ${row.reason}`.toLowerCase();

  const sized = ([value, low, high]) =>
    value.toFixed(1) + (low === high ? "" : ` (${low.toFixed(1)} – ${high.toFixed(1)})`);

  function textOf(row, field) {
    const value = row[field];
    if (value === null || value === "") return "–";
    if (field in data.words) return data.words[field][value] ?? value;
    if (Array.isArray(value)) return sized(value);
    if (field === "finished_at") return value.slice(0, 16).replace("T", " ");
    return value;
  }

  function compare(one, other) {
    const a = one[sort.field], b = other[sort.field];
    const emptyA = a === null || a === "", emptyB = b === null || b === "";
    if (emptyA || emptyB) return emptyA - emptyB; // those without a value are last both ways
    const order = Array.isArray(a) ? a[0] - b[0]
      : sort.field in data.words ? collator.compare(textOf(one, sort.field), textOf(other, sort.field))
      : collator.compare(a, b);
    return sort.sign * order;
  }

  function cellOf(row, field) {
    const cell = document.createElement(field === "scan_id" ? "th" : "td");
    const text = textOf(row, field);
    if (field === "scan_id") cell.scope = "row";
    if (field === "scan_id" && row.page) {
      const link = document.createElement("a");
      link.href = row.page;
      link.textContent = text;
      cell.append(link);
      return cell;
    }
    cell.textContent = text;
    if (field === "verdict" && row.verdict) cell.className = `verdict verdict-${row.verdict}`;
    if (field === "status" && row.reason) cell.append(document.createElement("br"), row.reason);
    return cell;
  }

  function show() {
    const pages = Math.max(Math.ceil(found.length / PAGE), 1);
    page = Math.min(Math.max(page, 0), pages - 1);
    body.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map((row) => {
      const line = document.createElement("tr");
      line.append(...data.columns.map((field) => cellOf(row, field)));
      return line;
    }));
    previous.disabled = page === 0;
    next.disabled = page === pages - 1;
    document.getElementById("page").textContent =
      data.texts.page.replace("{page}", page + 1).replace("{pages}", pages);
    document.getElementById("found").textContent =
      data.texts.found.replace("{found}", found.length).replace("{all}", data.rows.length);
  }

  function select() {
    const wanted = search.value.trim().toLowerCase();
    const chosen = filters.filter((each) => each.value).map((each) => [each.dataset.filter, each.value]);
    found = data.rows.filter((row) =>
      row.searched.includes(wanted) && chosen.every(([field, value]) => row[field] === value));
    found.sort(compare);
    page = 0;
    show();
  }

  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const field = head.dataset.field;
      sort = { field, sign: sort.field === field ? -sort.sign : 1 };
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sort.sign > 0 ? "ascending" : "descending");
      select();
    });
  }
  search.addEventListener("input", select);
  for (const each of filters) each.addEventListener("change", select);
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  previous.addEventListener("click", () => { page -= 1; show(); });
  next.addEventListener("click", () => { page += 1; show(); });
  select();
})();
