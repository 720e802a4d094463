#pragma once
// What the constructions of deterministic automata share: edges of several states, side by side.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "grammar/dfa.h"

namespace minimax::grammar {

// Edges come in ascending order; one that goes on where the last ended, to the same place, makes that longer.
inline void add_merged(std::vector<Dfa::Edge>& edges, int first, int last, int32_t to) {
  if (!edges.empty() && edges.back().to == to && edges.back().last + 1 == first) {
    edges.back().last = static_cast<uint8_t>(last);
  } else {
    edges.push_back({static_cast<uint8_t>(first), static_cast<uint8_t>(last), to});
  }
}

// `edges` (first, last, to; in any order, over each other) in pieces where the same ones lead on: each piece
// goes to number(the places that these lead to, ascending, each once).
template <typename Edge, typename Number>
std::vector<Dfa::Edge> in_pieces(const std::vector<Edge>& edges, Budget& budget, Number number) {
  std::vector<int32_t> borders;
  for (const Edge& edge : edges) {
    borders.push_back(edge.first);
    borders.push_back(edge.last + 1);
  }
  std::ranges::sort(borders);
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  std::vector<Dfa::Edge> out;
  for (size_t i = 0; i + 1 < borders.size(); ++i) {
    budget.spend(1 + std::ssize(edges) / 8);
    std::vector<int32_t> targets;
    for (const Edge& edge : edges) {
      if (edge.first <= borders[i] && borders[i] <= edge.last) targets.push_back(edge.to);
    }
    if (targets.empty()) continue;
    std::ranges::sort(targets);
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    add_merged(out, borders[i], borders[i + 1] - 1, number(std::move(targets)));
  }
  return out;
}

}  // namespace minimax::grammar
