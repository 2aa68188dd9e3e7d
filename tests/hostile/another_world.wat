;; Wants to read the environment, as programs do.
;; expect: refused "no WASI either"
(component
  (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result (list string)))))))
