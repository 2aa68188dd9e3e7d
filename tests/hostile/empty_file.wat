;; An empty file, which is what a reader may see while the file is being written.
;; expect: rejected "does not start with a Wasm header"
;; cut: 0
(component)
