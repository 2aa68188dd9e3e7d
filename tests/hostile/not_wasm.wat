;; The first bytes of a PNG image instead of a component.
;; expect: rejected "does not start with a Wasm header"
(module binary "\89PNG\0d\0a\1a\0a")
