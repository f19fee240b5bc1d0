"use strict";
(function () {
  var search = document.getElementById("search");
  var count = document.getElementById("count");
  document.getElementById("tools").hidden = false;

  function rows() { return document.querySelectorAll(".insns details, .source p[data-place]"); }

  function filter() {
    var wanted = search.value.trim().toLowerCase();
    var found = 0;
    rows().forEach(function (row) {
      var hit = !wanted || row.textContent.toLowerCase().indexOf(wanted) >= 0;
      row.classList.toggle("hidden", !hit);
      if (hit && row.tagName === "DETAILS") { found += 1; }
    });
    document.querySelectorAll(".insns .line, .source .gap").forEach(function (row) {
      row.classList.toggle("hidden", Boolean(wanted));
    });
    count.textContent = wanted ? found + " instructions" : "";
  }

  function light(event) {
    var from = event.target.closest ? event.target.closest("[data-place]") : null;
    document.querySelectorAll(".hot").forEach(function (row) { row.classList.remove("hot"); });
    if (!from) { return; }
    var chapter = from.closest("section");
    chapter.querySelectorAll("[data-place]").forEach(function (row) {
      if (row.dataset.place === from.dataset.place) { row.classList.add("hot"); }
    });
  }

  function open() {
    var there = location.hash ? document.getElementById(location.hash.slice(1)) : null;
    if (there && there.tagName === "DETAILS") { there.open = true; }
  }

  search.addEventListener("input", filter);
  document.addEventListener("mouseover", light);
  document.getElementById("all").addEventListener("change", function (event) {
    document.querySelectorAll(".insns details").forEach(function (row) {
      row.open = event.target.checked;
    });
  });
  addEventListener("hashchange", open);
  open();
}());
