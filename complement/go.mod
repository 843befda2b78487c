// The upstream conformance suite, which `make complement` runs. Nothing of it is in the product.
module belfry.invalid/complement

go 1.25.0

// Commit 50044edb68c37c7ee4c1506f76d904d3d513fe2c of 2026-07-01.
require github.com/matrix-org/complement v0.0.0-20260701165844-50044edb68c3
