;; Imports a WASI interface, to read the environment of the process.
;; expect: rejected "no WASI interface"
(component
  (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result (list string)))))))
