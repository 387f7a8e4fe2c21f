"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);

  // New rows for each figure: Vega writes into the rows it is given.
  const unpack = ({ n, columns }) => {
    const names = Object.keys(columns);
    const rows = Array.from({ length: n }, () => ({}));
    for (const name of names) {
      const values = columns[name];
      if (Array.isArray(values)) for (let i = 0; i < n; i++) rows[i][name] = values[i];
      else for (let i = 0; i < n; i++) rows[i][name] = values.words[values.at[i]];
    }
    return rows;
  };

  const fit = (spec, panel, width) => {
    const narrow = width < 600;
    if (panel === null) {
      spec.width = "container";
      spec.autosize = { type: "fit-x", contains: "padding" };
    } else {
      spec.columns = Math.max(1, Math.min(spec.columns ?? 2, Math.floor((width + 24) / (panel + 12))));
      if (spec.facet) {
        const beside = panel - spec.spec.width;
        const room = Math.floor(width / spec.columns) - beside;
        spec.spec.width = Math.max(150, Math.min(Math.round(1.35 * spec.spec.width), room));
        if (narrow && spec.spec.height?.step) spec.spec.height.step = 27; // two lines of label
      } else if (narrow && spec.concat) {
        spec.columns = spec.concat.length; // one row to swipe through, not a page for each column
      }
    }
    if (narrow) {
      const config = spec.config;
      config.axis = { ...config.axis, labelFontSize: 11, titleFontSize: 11.5, labelSeparation: 6, labelLimit: 150 };
      config.legend = { ...config.legend, labelFontSize: 10.5, labelLimit: width - 60 };
      config.style = { ...config.style, number: { opacity: 0 } }; // of a cell that is narrower than it
      narrowAxes(spec);
    }
    return spec;
  };
  // What a chart says itself goes before its configuration; on a phone it must give way.
  const narrowAxes = (node) => {
    if (node === null || typeof node !== "object") return;
    if (node.axis && node.axis.labelLimit) {
      const lines = "split(datum.label, ': ')"; // the data set above, the corruption below
      Object.assign(node.axis, { labelExpr: node.axis.labelExpr ?? lines, labelLimit: 118, labelFontSize: 9.5, labelLineHeight: 10 });
    }
    if (node.legend) {
      if (node.legend.columns) node.legend.columns = Math.max(1, Math.floor(node.legend.columns / 2));
      // A line break after a comma or a colon.
      if (node.legend.columns) node.legend.labelExpr ??= "split(replace(datum.label, regexp('([,:]) '), '$1|'), '|')";
      if (node.legend.gradientLength) node.legend.gradientLength = 96;
    }
    for (const key in node) if (key !== "config") narrowAxes(node[key]);
  };

  const drawAll = async () => {
    const data = read("report-data");
    const figures = read("report-figures");
    for (const place of document.querySelectorAll(".live")) {
      const { spec, data: names, panel } = figures[place.dataset.figure];
      const still = place.parentElement.querySelector(".still");
      place.hidden = false;
      try {
        spec.datasets = Object.fromEntries(Object.entries(names).map(([k, name]) => [k, unpack(data[name])]));
        await window.vegaEmbed(place, fit(spec, panel, place.parentElement.clientWidth), {
          actions: false,
          renderer: "canvas",
          logLevel: 1, // errors
        });
        still.style.display = "none";
      } catch (error) {
        place.hidden = true;
        console.error(`figure ${place.dataset.figure}: ${error}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    document.documentElement.dataset.drawn = "yes";
  };

  const sortable = (table) => {
    const body = table.tBodies[0];
    const heads = [...table.querySelectorAll("[data-sorts]")];
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const column = Number(head.dataset.sorts);
        const downward = head.getAttribute("aria-sort") !== "descending";
        const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const order = row_is_text(x) || row_is_text(y) ? x.localeCompare(y) : Number(x) - Number(y);
          return downward ? -order : order;
        });
        body.append(...rows);
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", downward ? "descending" : "ascending");
      });
    }
  };
  const row_is_text = (text) => Number.isNaN(Number(text));

  const switchable = (group) => {
    const options = [...group.querySelectorAll(".option")];
    if (options.length < 2) return;
    const label = document.createElement("label");
    const select = document.createElement("select");
    options.forEach((option, i) => select.add(new Option(option.dataset.name, i)));
    const show = () => options.forEach((option, i) => (option.hidden = i !== Number(select.value)));
    select.addEventListener("change", show);
    label.append(group.dataset.label, select);
    group.prepend(label);
    show();
  };

  document.querySelectorAll(".sortable").forEach(sortable);
  document.querySelectorAll(".switch").forEach(switchable);
  drawAll();
})();
