;; An alert condition where a classifier is expected.
;; shell: alert
;; expect: refused "this one is of the world `alert`"
;; kind: retry
(core module $guest
  (func (export "evaluate") (param $snapshot i32) (result i32)
    (i32.const 64)))
